"""The generated interface where the plugin runs in the host, and plain stand-ins for it where a test runs."""

from __future__ import annotations

try:
    from wit_world.imports import event, host
except ImportError:
    from .stand_in import event, host  # type: ignore[assignment]

try:
    from wit_world.imports import emitting
except ImportError:
    from .stand_in import emitting  # type: ignore[assignment]

try:
    from wit_world.imports import keyvalue
except ImportError:
    from .stand_in import keyvalue  # type: ignore[assignment]

try:
    from componentize_py_types import Err
except ImportError:
    from .stand_in import Err  # type: ignore[assignment]

__all__ = ["Err", "emitting", "event", "host", "keyvalue"]
