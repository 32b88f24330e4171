"""Going on with the trace that an event belongs to, by OpenTelemetry; nothing where that is not installed or asked for.

The transport's own `traceparent` names the host's span, which is the one to go on with. The event's attribute of that
name (CloudEvents' extension "Distributed Tracing") names the start of the transmission, and is the next best.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .event import Event

NAMES = ("traceparent", "tracestate")
Headers = Mapping[str, str]


def start() -> None:
    """Export spans to `OTEL_EXPORTER_OTLP_ENDPOINT`, by HTTP; nothing without that variable.

    An application that has a tracer provider of its own, or runs under `opentelemetry-instrument`, needs none of this.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "stage3-embedding")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def going_on(event: Event, headers: Headers) -> Iterator[None]:
    """Work on an event in a span of its trace, below the host's own."""
    # An application that traces has imported this already; one that does not pays nothing, and needs nothing.
    if sys.modules.get("opentelemetry.trace") is None:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    lower = {name.lower(): text for name, text in headers.items()}
    carrier = lower if "traceparent" in lower else event.trace()
    context = TraceContextTextMapPropagator().extract({name: carrier[name] for name in NAMES if name in carrier})
    attributes = {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": event.id,
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.source,
        "cloudevents.event_type": event.type,
    }
    tracer = trace.get_tracer("stage3")
    kind = trace.SpanKind.CONSUMER
    with tracer.start_as_current_span("process embedding", context=context, kind=kind, attributes=attributes):
        yield


def current() -> dict[str, str]:
    """Give `traceparent`, and `tracestate` if there is one, of the current span; nothing without one."""
    if sys.modules.get("opentelemetry.trace") is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier
