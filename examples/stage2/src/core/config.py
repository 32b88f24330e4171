"""The settings file that Stage 2 shares with the host, as far as Stage 2 reads it.

Which backends there are, and how they are reached, is the host's matter: it reads the same file and checks all of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Environment = Mapping[str, str]

VARIABLE = re.compile(r"\$\$\{|\$\{(\w+)(?::-([^}]*))?\}")


class SettingsError(Exception):
    """The settings cannot be used; the message says where, and why."""


class Section(BaseModel):
    """A part of the file. Keys that are not named here are the host's."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PublishEvents(Section):
    """`events.publish_events`: which of the document's events are published."""

    document_processed: bool = True
    document_failed: bool = True
    batch_started: bool = True
    batch_completed: bool = True


class Monitoring(Section):
    """`events.monitoring`"""

    log_events: bool = True


class EventsConfig(Section):
    """`events`. Disabled unless someone enables it, so that an old deployment goes on as before."""

    enabled: bool = False
    publish_events: PublishEvents = Field(default_factory=PublishEvents)
    monitoring: Monitoring = Field(default_factory=Monitoring)


class HostConfig(Section):
    """`host`: where it listens."""

    listen: str = "127.0.0.1:8080"


class PublisherConfig(BaseModel):
    """How events get to the host. Each field may be set by `EVENTS_` and its name: `EVENTS_QUEUE=500`."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(default="http://127.0.0.1:8080/events", pattern=r"^https?://", description="the host's ingress")
    token: str | None = Field(default=None, repr=False, description="one of the host's host.http.bearer_tokens")
    queue: int = Field(default=10_000, ge=1, description="events that wait in memory at most; more are dropped")
    batch: int = Field(default=200, ge=1, le=10_000, description="events in one request at most")
    linger_seconds: float = Field(default=0.02, ge=0, description="how long a request waits to fill")
    timeout_seconds: float = Field(default=10.0, gt=0, description="how long the host may take to answer")
    pause_seconds: float = Field(default=0.1, gt=0, description="the first pause after a failure; it doubles")
    longest_pause_seconds: float = Field(default=5.0, gt=0, description="the longest pause")
    close_seconds: float = Field(default=2.0, ge=0, description="how long the end of the process may wait for the rest")
    spool: Path | None = Field(default=None, description="a directory where unsent events outlive a killed process")


class Settings(Section):
    """The file."""

    # The document's "Configuration Migration": absent means disabled.
    events: EventsConfig = Field(default_factory=EventsConfig, description="Event publishing configuration")
    host: HostConfig = Field(default_factory=HostConfig)
    publisher: PublisherConfig = Field(default_factory=PublisherConfig)

    @field_validator("events", "host", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:  # noqa: ANN401 (whatever the file has there)
        return {} if value is None else value


def load(path: Path | str | None = None, environment: Environment = os.environ) -> Settings:
    """Read the settings file: `path`, else `STAGE2_SETTINGS`, else `config/settings.yaml`.

    A file that is not there is an empty one. `EVENTS_ENABLED` goes before the file.

    Raises:
        SettingsError: the file is no YAML, or has a value of the wrong type.
    """
    path = Path(path or environment.get("STAGE2_SETTINGS", "config/settings.yaml"))
    try:
        tree = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    if not isinstance(tree, dict | None):
        raise SettingsError(f"cannot read {path}: it is no map")
    try:
        return Settings.model_validate(_read(tree or {}, environment))
    except ValidationError as error:
        raise SettingsError(f"cannot use {path}: {error}") from error


def _read(tree: dict[str, Any], environment: Environment) -> dict[str, Any]:
    known = {
        "events": (tree.get("events"), EventsConfig.model_fields),
        "host": (tree.get("host"), HostConfig.model_fields),
    }
    read: dict[str, Any] = {}
    for name, (section, fields) in known.items():
        if isinstance(section, dict):
            # Only what is read here: a variable that only the host has must not stop Stage 2.
            section = {key: _interpolated(section[key], environment) for key in fields if key in section}
        read[name] = section
    if "EVENTS_ENABLED" in environment and isinstance(read["events"], dict | None):
        read["events"] = {**(read["events"] or {}), "enabled": environment["EVENTS_ENABLED"]}
    read["publisher"] = _publisher(read["host"], environment)
    return read


def _publisher(host: Any, environment: Environment) -> dict[str, str]:  # noqa: ANN401 (not checked yet)
    listen = host.get("listen") if isinstance(host, dict) else None
    # A host that listens on every address is reached on this machine's own.
    url = "http://" + str(listen or HostConfig().listen).replace("0.0.0.0", "127.0.0.1") + "/events"
    names = ((field, f"EVENTS_{field.upper()}") for field in PublisherConfig.model_fields)
    return {"url": url} | {field: environment[name] for field, name in names if environment.get(name)}


def _interpolated(value: Any, environment: Environment) -> Any:  # noqa: ANN401 (whatever the file has there)
    """Replace `${VAR}` and `${VAR:-default}` inside a value, as the host does; `$${` writes `${`."""
    match value:
        case dict():
            return {key: _interpolated(inner, environment) for key, inner in value.items()}
        case list():
            return [_interpolated(inner, environment) for inner in value]
        case str():
            return VARIABLE.sub(lambda found: _variable(found, environment), value)
        case _:
            return value


def _variable(found: re.Match[str], environment: Environment) -> str:
    name, default = found.groups()
    if name is None:
        return "${"
    if default is not None:
        return environment.get(name) or default
    if name not in environment:
        raise SettingsError(f"environment variable {name} is not set; set it, or write ${{{name}:-…}}")
    return environment[name]
