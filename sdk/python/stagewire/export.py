"""What the host calls: `stagewire plugin build` writes an entry that makes one of these of the plugin's module."""

from __future__ import annotations

import json
import sys
import traceback
from types import ModuleType
from typing import Any

from . import host, settings, wit
from .emitter import Emitter
from .errors import Permanent, Refused, Transient
from .event import Event
from .plugin import Drop, Filter, Transform


def configured(plugin: type, text: str) -> Any:
    """A plugin with these settings, JSON text, as the host makes it; `Refused` where they are wrong."""
    wanted = settings.shape(plugin)
    fitting = settings.parse(text, wanted)
    return plugin() if wanted is None else plugin(fitting)


def found(module: ModuleType, kind: type) -> type:
    """The one class of a module that is a filter or a transform."""
    own = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    plugins = [item for item in own if issubclass(item, kind)]
    if len(plugins) != 1:
        name = kind.__name__
        raise TypeError(f"{module.__name__}.py holds {len(plugins)} classes that are a {name}; one is wanted")
    return plugins[0]


class Exported:
    """What filters and transforms share."""

    plugin: Any = None

    def __init__(self, kind: type, description: dict[str, str], types: Any) -> None:
        self.kind, self.types = kind, types
        schema = json.dumps(settings.schema(settings.shape(kind)))
        self.description = types.Description(**description, settings_schema=schema)
        sys.excepthook = lambda _, error, trace: host.log(_place(error), host.Level.ERROR)

    def configure(self, text: str) -> None:
        try:
            self.plugin = configured(self.kind, text)
        except Refused as refusal:
            raise wit.Err(str(refusal)) from None
        except Exception as error:
            raise wit.Err(_place(error)) from None

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self.plugin, method)(*arguments)
        except Transient as error:
            raise wit.Err(self.types.Error_Transient(str(error))) from None
        except Permanent as error:
            raise wit.Err(self.types.Error_Permanent(str(error))) from None
        except Exception as error:
            # Its message stays out: it may quote the event.
            host.log(_place(error), host.Level.ERROR)
            raise wit.Err(self.types.Error_Permanent(_place(error))) from None


def filtering(module: ModuleType, description: dict[str, str], interface: Any, types: Any) -> type:
    """The class that is exported for a filter."""
    exported = Exported(found(module, Filter), description, types)
    kept, dropped = interface.Verdict_Keep(), interface.Verdict_Drop

    class Filtering:
        # The host's call makes an instance of this each time: what lasts is `exported`.
        def describe(self) -> Any:
            return exported.description

        def configure(self, text: str) -> None:
            exported.configure(text)

        def keep(self, event: Any) -> Any:
            verdict = exported.call("keep", Event(event))
            return dropped(verdict.reason) if isinstance(verdict, Drop) else kept

    return Filtering


def transforming(module: ModuleType, description: dict[str, str], types: Any) -> type:
    """The class that is exported for a transform."""
    exported = Exported(found(module, Transform), description, types)

    class Transforming:
        def describe(self) -> Any:
            return exported.description

        def configure(self, text: str) -> None:
            exported.configure(text)

        def apply(self, event: Any, out: Any) -> None:
            exported.call("apply", Event(event), Emitter(out))

    return Transforming


def _place(error: BaseException) -> str:
    """The exception's class, and where in the plugin it was raised. No source is looked up: there are no files here."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if "/stagewire/" not in frame[0]] or frames or [("plugin.py", 0)]
    name, line = own[-1]
    return f"{type(error).__name__} in {name.rsplit('/', 1)[-1]}, line {line}"
