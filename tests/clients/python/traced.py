"""A producer and consumers that trace by OpenTelemetry's own SDK, and export to a collector.

    traced.py produce COLLECTOR URL ID header|extension|both    posts one event from within a span
    traced.py consume COLLECTOR redis URL STREAM                reads one message and works on it in a span of its trace
    traced.py consume COLLECTOR kafka SERVER TOPIC
    traced.py consume COLLECTOR nats URL STREAM
    traced.py consume COLLECTOR rabbitmq URL QUEUE

Each prints what it has sent or read: the event's own `traceparent` and that of the transport.
"""

import asyncio
import json
import sys

import kafka
import nats
import pika
import redis
import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PROPAGATOR = TraceContextTextMapPropagator()


def tracing(collector, service):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector, insecure=True)))
    return provider


def produce(collector, url, name, where):
    provider = tracing(collector, "producer")
    with provider.get_tracer("traced").start_as_current_span("work", kind=trace.SpanKind.PRODUCER):
        carrier = {}
        PROPAGATOR.inject(carrier)
        event = {"specversion": "1.0", "id": name, "source": "/traced", "type": "com.example.traced", "data": {"n": 1}}
        if where in ("extension", "both"):
            event |= carrier
        headers = {"content-type": "application/cloudevents+json"}
        if where in ("header", "both"):
            headers |= carrier
        answer = requests.post(url, headers=headers, data=json.dumps(event), timeout=10)
        answer.raise_for_status()
    provider.shutdown()
    print(json.dumps({"event": carrier["traceparent"]}))


def read_redis(url, stream):
    _, entries = redis.Redis.from_url(url).xread({stream: "0"}, count=1, block=60_000)[0]
    fields = {name.decode(): value.decode() for name, value in entries[0][1].items()}
    return fields, fields["event"]


def read_kafka(server, topic):
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=server, auto_offset_reset="earliest", group_id="traced", consumer_timeout_ms=60_000
    )
    record = next(consumer)
    return {name: value.decode() for name, value in record.headers}, record.value


def read_nats(url, stream):
    async def read():
        connection = await nats.connect(url)
        context = connection.jetstream()
        while (await context.stream_info(stream)).state.messages == 0:
            await asyncio.sleep(0.01)
        message = await context.get_msg(stream, 1)
        await connection.close()
        return message.headers or {}, message.data

    return asyncio.run(read())


def read_rabbitmq(url, queue):
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    for _, properties, body in channel.consume(queue, inactivity_timeout=60):
        return properties.headers or {}, body


READ = {"redis": read_redis, "kafka": read_kafka, "nats": read_nats, "rabbitmq": read_rabbitmq}


def consume(collector, kind, *place):
    headers, body = READ[kind](*place)
    headers = {name: str(value) for name, value in headers.items()}
    provider = tracing(collector, "consumer")
    tracer = provider.get_tracer("traced")
    with tracer.start_as_current_span("embed", context=PROPAGATOR.extract(headers), kind=trace.SpanKind.CONSUMER):
        event = json.loads(body)
    provider.shutdown()
    print(json.dumps({"event": event.get("traceparent"), "transport": headers.get("traceparent")}))


COMMANDS = {"produce": produce, "consume": consume}

COMMANDS[sys.argv[1]](*sys.argv[2:])
