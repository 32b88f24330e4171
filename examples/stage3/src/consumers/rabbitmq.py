"""RabbitMQ: aio-pika and a durable queue."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import threading
from contextlib import suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, ExchangeType
from aio_pika.exceptions import AMQPException

from ..feedback import Undeliverable
from ..stage import Stage
from . import PAUSE_SECONDS

logger = logging.getLogger(__name__)

PREFETCH = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this backend."""
    parser.add_argument("--url", default=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/"))
    parser.add_argument("--exchange", default="nlp-events")
    parser.add_argument("--queue", default="stage3")
    parser.add_argument("--routing-key", default="#", help="which of the exchange's events the queue gets")


def consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    """Read the queue until it is time to stop."""
    asyncio.run(_consume(stage, options, stop))


async def _consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            connection = await aio_pika.connect(options.url, timeout=10)
            async with connection, connection.channel() as channel:
                await channel.set_qos(prefetch_count=PREFETCH)
                await _read(stage, channel, await _queue(channel, options), stop)
        except (AMQPException, OSError, TimeoutError, asyncio.InvalidStateError) as error:
            logger.warning("trying again in %.0f s: %s", PAUSE_SECONDS, error or type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)


async def _queue(channel: AbstractChannel, options: argparse.Namespace) -> AbstractQueue:
    """Make exchange and queue as the host makes the exchange: whoever comes first."""
    exchange = await channel.declare_exchange(options.exchange, ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(options.queue, durable=True)
    await queue.bind(exchange, options.routing_key)
    return queue


async def _read(stage: Stage, channel: AbstractChannel, queue: AbstractQueue, stop: threading.Event) -> None:
    # One after the other: events of a document keep their order.
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(arrived.put)
    while not stop.is_set():
        if channel.is_closed:
            raise ConnectionError("the broker closed the connection")
        with suppress(TimeoutError):
            await _handle(stage, await asyncio.wait_for(arrived.get(), 1))


async def _handle(stage: Stage, message: AbstractIncomingMessage) -> None:
    try:
        headers = {name: text for name, text in message.headers.items() if isinstance(text, str)}
        await asyncio.to_thread(stage.receive, message.body, headers)
    except Undeliverable as error:
        logger.warning("%s; the event comes again in %.0f s", error, PAUSE_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)
        await message.nack(requeue=True)
    else:
        await message.ack()
