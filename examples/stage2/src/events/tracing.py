"""The current span, as CloudEvents carry it (extension "Distributed Tracing")."""

from __future__ import annotations

import sys


def trace_context() -> dict[str, str]:
    """Give `traceparent`, and `tracestate` if there is one, of the current OpenTelemetry span; nothing without one."""
    # An application that traces has imported this already; one that does not pays nothing, and needs nothing.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header()
    return {"traceparent": parent} | ({"tracestate": state} if state else {})
