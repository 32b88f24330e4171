"""Apache Kafka: confluent-kafka and a consumer group."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ..feedback import Undeliverable
from ..stage import Stage
from . import PAUSE_SECONDS

logger = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this backend."""
    parser.add_argument("--servers", default=os.environ.get("KAFKA_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--topic", default="nlp-document-events")
    parser.add_argument("--group", default="stage3")


def consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    """Read with the group until it is time to stop. The client reconnects by itself."""
    consumer = Consumer(
        {
            "bootstrap.servers": options.servers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            # Committed in the background, but only what was stored here after the work.
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1_000,
            "enable.auto.offset.store": False,
            # How long the records of a consumer that was killed wait for another one.
            "session.timeout.ms": 6_000,
        }
    )
    consumer.subscribe([options.topic])
    try:
        while not stop.is_set():
            message = consumer.poll(0.5)
            if message is not None:
                _handle(stage, consumer, message, stop)
    finally:
        consumer.close()


def _handle(stage: Stage, consumer: Consumer, message: Message, stop: threading.Event) -> None:
    error = message.error()
    if error is not None:
        # A topic that is made by its first event is not there yet.
        level = logging.DEBUG if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else logging.WARNING
        logger.log(level, "%s", error)
        stop.wait(PAUSE_SECONDS)
        return
    try:
        stage.receive(message.value() or b"", _headers(message))
    except Undeliverable as undeliverable:
        logger.warning("%s; the event comes again in %.0f s", undeliverable, PAUSE_SECONDS)
        stop.wait(PAUSE_SECONDS)
        _back(consumer, message)
    else:
        consumer.store_offsets(message)


def _headers(message: Message) -> dict[str, str]:
    headers = cast(list[tuple[str, bytes | None]], message.headers() or [])
    return {name: text.decode(errors="replace") for name, text in headers if text is not None}


def _back(consumer: Consumer, message: Message) -> None:
    """Read the same record again: a later one must not overtake it."""
    try:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is not None and partition is not None and offset is not None:
            consumer.seek(TopicPartition(topic, partition, offset))
    except KafkaException as error:
        # The partition has gone to another consumer, which begins with this record.
        logger.info("%s", error)
