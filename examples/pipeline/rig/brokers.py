"""Real brokers, each with what a host's backend and a consumer of Stage 3 need to meet there.

`cargo xtask setup` installs them; `STAGEWIRE_TARGET` names its target directory where that is another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol, Self

import nats
from nats.js.api import AckPolicy, ConsumerConfig

from .host import REPOSITORY
from .processes import Process, free_port, listens
from .redis import Redis
from .stages import SECRET

TARGET = Path(os.environ.get("STAGEWIRE_TARGET", REPOSITORY / "target"))


class Broker(Protocol):
    """A broker that runs."""

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 at it."""

    def kill(self) -> None:
        """End it."""


class RedisStreams(Redis):
    """Redis, with the document's stream."""

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""
        return {"url": self.url(1), "stream_name": "nlp-events"}

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 at it."""
        return ["redis_streams", "--url", self.url(1), "--consumer", "one", "--idle", "2"]


class Nats(Process):
    """A NATS server with JetStream."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        words = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(directory / "nats")]
        super().__init__("nats", [_installed(TARGET / "clients/nats-server", "nats-server"), *words], directory)

    def run(self) -> Self:
        """Start it, wait until it listens, and make stream and consumer as an operator does."""
        self.start().ready(lambda: listens(self.port))
        asyncio.run(self._lay_out())
        return self

    async def _lay_out(self) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{self.port}")
        stream = client.jetstream()
        await stream.add_stream(name="NLP_EVENTS", subjects=["nlp.>"])
        # What a consumer that was killed had goes to another one after this many seconds.
        config = ConsumerConfig(durable_name="nlp-processor", ack_policy=AckPolicy.EXPLICIT, ack_wait=3)
        await stream.add_consumer("NLP_EVENTS", config)
        await client.close()

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""
        return {"servers": [f"nats://127.0.0.1:{self.port}"], "subject": "nlp.{type}", "stream": "NLP_EVENTS"}

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 at it."""
        return ["nats", "--servers", f"nats://127.0.0.1:{self.port}"]


class Kafka(Process):
    """Apache Kafka in one process."""

    def __init__(self, directory: Path) -> None:
        self.port, controller = free_port(), free_port()
        self._home = directory
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": directory / "kafka",
            "log.cleaner.dedupe.buffer.size": 4 << 20,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            # A group of one need not wait for others to join.
            "group.initial.rebalance.delay.ms": 0,
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (directory / "server.properties").write_text("".join(lines), "utf-8")
        super().__init__("kafka", self._java("kafka.Kafka", "server.properties"), directory)

    def run(self) -> Self:
        """Format its log, start it, and wait until it listens."""
        words = ["format", "-t", "c3RhZ2V3aXJlLXRlc3RzMQ", "-c", "server.properties"]
        command = self._java("kafka.tools.StorageTool", *words)
        subprocess.run(command, cwd=self._home, check=True, capture_output=True, timeout=60)  # noqa: S603
        return self.start().ready(lambda: listens(self.port))

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""
        servers = [f"127.0.0.1:{self.port}"]
        return {"bootstrap_servers": servers, "topic": "nlp-document-events", "auto_create": True, "acks": "all"}

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 at it."""
        return ["kafka", "--servers", f"127.0.0.1:{self.port}"]

    def _java(self, *words: str) -> list[str]:
        jars = _installed(TARGET / "brokers/kafka/libs", None) / "*"
        frugal = ["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *frugal, "-cp", str(jars), *words]


class RabbitMq(Process):
    """RabbitMQ, by the library's script: the distribution's wrapper starts a port mapper on all interfaces."""

    LIBRARY = Path("/usr/lib/rabbitmq/lib")

    def __init__(self, directory: Path) -> None:
        self.port, mapper = free_port(), free_port()
        user = {"name": "stage2", "password": "right", "tags": ""}
        may = {"user": "stage2", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        files = {
            "definitions.json": json.dumps({"users": [user], "vhosts": [{"name": "/"}], "permissions": [may]}),
            "rabbitmq.conf": f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {directory}/definitions.json\n"
            "log.console = false\ndisk_free_limit.absolute = 1MB\n",
            "env.conf": "",
            "enabled_plugins": "[].\n",
        }
        for name, text in files.items():
            (directory / name).write_text(text, "utf-8")
        environment = {
            "HOME": directory,
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": directory / "mnesia",
            "RABBITMQ_LOG_BASE": directory / "log",
            "RABBITMQ_CONFIG_FILE": directory / "rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": directory / "env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": directory / "enabled_plugins",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": mapper,
        }
        self._mapper_port = mapper
        self._mapper = Process("epmd", ["epmd", "-address", "127.0.0.1", "-port", str(mapper)], directory)
        script = next(iter(sorted(self.LIBRARY.glob("*/sbin/rabbitmq-server"))), self.LIBRARY / "rabbitmq-server")
        words = {name: str(value) for name, value in environment.items()}
        super().__init__("rabbitmq", [_installed(script, None)], directory, words)

    def run(self) -> Self:
        """Start it and wait until it listens."""
        self._mapper.start().ready(lambda: listens(self._mapper_port))
        return self.start().ready(lambda: listens(self.port))

    def kill(self) -> None:
        """End it, and its port mapper."""
        super().kill()
        self._mapper.kill()

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""
        return {
            "url": self._url,
            "exchange": "nlp-events",
            "exchange_type": "topic",
            "routing_key": "document.processed",
        }

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 at it."""
        return ["rabbitmq", "--url", self._url]

    @property
    def _url(self) -> str:
        return f"amqp://stage2:right@127.0.0.1:{self.port}/"


class Webhook:
    """No broker at all: the host posts to Stage 3 itself."""

    def __init__(self) -> None:
        self.port = free_port()

    def backend(self) -> dict[str, Any]:
        """Give the host's `config` of its backend."""
        url = f"http://127.0.0.1:{self.port}/webhook/nlp-events"
        return {"urls": [url], "signing_secrets": [SECRET], "retry_delay_seconds": 0.1}

    def consumer(self) -> list[str]:
        """Give the words that start Stage 3 for it."""
        return ["webhook", "--port", str(self.port)]

    def kill(self) -> None:
        """Do nothing: there is nothing."""


def _installed(path: Path, name: str | None) -> Path:
    found = path if path.exists() else Path(shutil.which(name) or "nowhere") if name else path
    if not found.exists():
        raise FileNotFoundError(f"{path} is not there: `cargo xtask setup` installs it")
    return found
