"""A peer that uses the `cloudevents` package: sends described events, and describes the events it reads.

    peer.py send structured|binary|batched URL   < one description per line
    peer.py read                                 < one document or recorded request per line
    peer.py redis HOST PORT DB STREAM COUNT      reads the stream with the `redis` package
    peer.py kafka SERVER TOPIC COUNT             reads the topic with the `kafka-python` package
    peer.py nats URL STREAM...                   reads the streams with the `nats-py` package
    peer.py rabbitmq URL QUEUE                   reads the queue with the `pika` package, and leaves it as it was
    peer.py nats-recorded                        < one message, as a subscriber recorded it, per line

A description is {"attributes": {...}, "json": value} or "text" or "base64" instead of "json".
"""

import asyncio
import base64
import json
import sys

import kafka
import nats
import pika
import redis
import requests
from cloudevents.core.bindings import amqp, http
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse

BATCH = "application/cloudevents-batch+json"


def build(described):
    attributes = dict(described["attributes"])
    if "time" in attributes:
        attributes["time"] = isoparse(attributes["time"])
    if "base64" in described:
        data = base64.b64decode(described["base64"])
    else:
        data = described.get("json", described.get("text"))
    return CloudEvent(attributes=attributes, data=data)


def describe(event):
    attributes = dict(event.get_attributes())
    if "time" in attributes:
        attributes["time"] = attributes["time"].isoformat().replace("+00:00", "Z")
    data = event.get_data()
    described = {"attributes": {name: plain(value) for name, value in attributes.items()}}
    if isinstance(data, bytes):
        described["base64"] = base64.b64encode(data).decode()
    elif isinstance(data, str):
        described["text"] = data
    elif data is not None:
        described["json"] = data
    return described


def plain(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def send(mode, url):
    given = [json.loads(line) for line in sys.stdin]
    if mode == "binary":
        # The package writes Python's `True` into a header, which CloudEvents does not know.
        for described in given:
            described["attributes"] = {name: plain(value) for name, value in described["attributes"].items()}
    events = [build(described) for described in given]
    if mode == "batched":
        documents = [http.to_structured_event(event).body for event in events]
        post(url, {"content-type": BATCH}, b"[" + b",".join(documents) + b"]")
        return
    encode = http.to_structured_event if mode == "structured" else http.to_binary_event
    for event in events:
        message = encode(event)
        post(url, message.headers, message.body)


def post(url, headers, body):
    answer = requests.post(url, headers=headers, data=body, timeout=10)
    if answer.status_code != 202:
        sys.exit(f"{answer.status_code}: {answer.text}")


def read():
    for line in sys.stdin:
        given = json.loads(line)
        if "document" in given:
            event = JSONFormat().read(None, given["document"])
            print(json.dumps(describe(event)))
        else:
            headers, body = given["headers"], base64.b64decode(given["body"])
            described = describe(http.from_http_event(http.HTTPMessage(headers=headers, body=body)))
            print(json.dumps(with_empty(described, headers.get("content-type"), body)))


def read_redis(host, port, db, stream, count):
    client = redis.Redis(host=host, port=int(port), db=int(db))
    entries = client.xrange(stream, count=int(count))
    for _, fields in entries:
        print(json.dumps(from_redis(fields)))


def from_redis(fields):
    """A whole event in the field `event`, or a field for each attribute and `data`."""
    if b"event" in fields:
        return describe(JSONFormat().read(None, fields[b"event"]))
    texts = {name.decode(): value.decode() for name, value in fields.items() if name != b"data"}
    described = {"attributes": texts}
    if b"data" in fields:
        described["base64"] = base64.b64encode(fields[b"data"]).decode()
    return described


def read_kafka(server, topic, count):
    consumer = kafka.KafkaConsumer(bootstrap_servers=server, consumer_timeout_ms=20000)
    partitions = [kafka.TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    records = [record for record, _ in zip(consumer, range(int(count)))]
    for record in sorted(records, key=lambda record: record.timestamp):
        # The package takes a record's key for the attribute `partitionkey`; here it is whatever orders the events.
        message = kafka_binding.KafkaMessage(headers=dict(record.headers), key=None, value=record.value)
        described = describe(kafka_binding.from_kafka_event(message))
        if record.value == b"":
            # The package takes an empty value for none at all; a record tells them apart.
            described["base64"] = ""
        print(json.dumps(described))


def read_nats(url, *streams):
    async def read():
        connection = await nats.connect(url)
        context = connection.jetstream()
        for stream in streams:
            try:
                last = (await context.stream_info(stream)).state.last_seq
            except nats.js.errors.NotFoundError:
                continue
            for sequence in range(1, last + 1):
                message = await context.get_msg(stream, sequence)
                print(json.dumps(from_nats(message.headers or {}, message.data)))
        await connection.close()

    asyncio.run(read())


def read_nats_recorded():
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps(from_nats(given["headers"], base64.b64decode(given["body"]))))


def from_nats(headers, body):
    """The binding is HTTP's, but for the media type, which is an attribute like any other."""
    headers = dict(headers)
    if "ce-datacontenttype" in headers:
        headers["content-type"] = headers.pop("ce-datacontenttype")
    described = describe(http.from_http_event(http.HTTPMessage(headers=headers, body=body)))
    return with_empty(described, headers.get("content-type"), body)


def with_empty(described, media, body):
    """The package makes no difference between no data and data of no bytes, which a media type tells apart."""
    return {**described, "text": ""} if media and not body else described


def read_rabbitmq(url, queue):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None:
            break
        # AMQP 0-9-1 has headers where AMQP 1.0, which the package speaks of, has application properties.
        media = {"content-type": properties.content_type} if properties.content_type else {}
        message = amqp.AMQPMessage(media, properties.headers or {}, body)
        described = describe(amqp.from_amqp_event(message))
        print(json.dumps(with_empty(described, properties.content_type, body)))
    connection.close()


if __name__ == "__main__":
    modes = {
        "send": send,
        "read": read,
        "redis": read_redis,
        "kafka": read_kafka,
        "nats": read_nats,
        "nats-recorded": read_nats_recorded,
        "rabbitmq": read_rabbitmq,
    }
    modes[sys.argv[1]](*sys.argv[2:])
