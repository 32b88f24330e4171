"""NATS JetStream: nats-py and a durable pull consumer."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import threading

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext

from ..feedback import Undeliverable
from ..stage import Stage
from . import PAUSE_SECONDS

logger = logging.getLogger(__name__)

COUNT = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this backend."""
    parser.add_argument("--servers", default=os.environ.get("NATS_SERVERS", "nats://127.0.0.1:4222"))
    parser.add_argument("--stream", default="NLP_EVENTS")
    parser.add_argument("--durable", default="nlp-processor", help="the host's nats.durable_name")


def consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    """Fetch from the consumer until it is time to stop."""
    asyncio.run(_consume(stage, options, stop))


async def _consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            connection = await nats.connect(options.servers.split(","), max_reconnect_attempts=-1)
            try:
                await _fetch(stage, connection.jetstream(), options, stop)
            finally:
                await connection.close()
        except (NatsError, OSError) as error:
            # Also where the stream is not there yet: the host makes it.
            logger.warning("trying again in %.0f s: %s", PAUSE_SECONDS, error)
            await asyncio.sleep(PAUSE_SECONDS)


async def _fetch(stage: Stage, stream: JetStreamContext, options: argparse.Namespace, stop: threading.Event) -> None:
    # With the stream named the subject is the consumer's own.
    subscription = await stream.pull_subscribe_bind(consumer=options.durable, stream=options.stream)
    while not stop.is_set():
        try:
            messages = await subscription.fetch(COUNT, timeout=1)
        except NatsTimeoutError:
            continue
        for message in messages:
            await _handle(stage, message)


async def _handle(stage: Stage, message: Msg) -> None:
    try:
        await asyncio.to_thread(stage.receive, message.data, message.headers)
    except Undeliverable as error:
        logger.warning("%s; the event comes again in %.0f s", error, PAUSE_SECONDS)
        await message.nak(delay=PAUSE_SECONDS)
    else:
        await message.ack()
