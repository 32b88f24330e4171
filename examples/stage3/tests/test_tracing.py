"""The work on an event is a span of the event's trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stage3.event import Event
from stage3.feedback import Feedback
from stage3.stage import Outcome, Stage
from stage3.store import Store

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START, HOST = f"00-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-b7ad6b7169203331-01"


class Told(Feedback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/events")
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The global provider can be set once in a process; a test has one of its own.
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def received(directory: Path, headers: dict[str, str]) -> tuple[Outcome, Told]:
    told = Told()
    (directory / "results").mkdir()
    stage = Stage(Store(directory / "data"), told, directory / "results")
    data = {"document_id": "sea", "output_location": {"jsonl": (directory / "results/sea.jsonl").as_uri()}}
    event = {
        "specversion": "1.0",
        "id": "evt_sea",
        "source": "stage2-nlp-processing",
        "type": "com.storytelling.nlp.document.processed",
        "data": data,
        "traceparent": START,
    }
    return stage.receive(json.dumps(event), headers), told


def parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01"


@pytest.mark.parametrize(
    ("headers", "expected"), [({"traceparent": HOST}, HOST), ({"TraceParent": HOST}, HOST), ({}, START)]
)
def test_it_goes_on_with_the_hosts_span_or_else_with_the_start(
    tmp_path: Path, exporter: InMemorySpanExporter, headers: dict[str, str], expected: str
) -> None:
    outcome, told = received(tmp_path, headers)
    (span,) = exporter.get_finished_spans()
    assert parent(span) == expected
    assert span.attributes is not None
    assert span.attributes["cloudevents.event_id"] == "evt_sea"
    # There is no such file: what is answered begins in the span of the work that failed.
    assert outcome is Outcome.REPORTED
    context = span.get_span_context()
    assert context is not None
    assert told.events[0].traceparent == f"00-{TRACE}-{context.span_id:016x}-01"
