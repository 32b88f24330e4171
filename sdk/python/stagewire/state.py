"""State of the step's own: small values by key, kept through swaps and restarts, shared by all workers.

For a plugin whose world is `stateful-filter` or `stateful-transform`, in a step that was granted `keyvalue`. What a call
writes is kept when the call ends well. Times are milliseconds by `stagewire.now`.
"""

from __future__ import annotations

from typing import Optional

from . import wit
from .errors import Permanent


def get(key: str) -> Optional[bytes]:
    """The value under a key; `None` where there is none, or it has expired."""
    return wit.keyvalue.get(key)


def put(key: str, value: bytes, expires_after: Optional[int] = None) -> None:
    """Puts a value under a key."""
    try:
        wit.keyvalue.set(key, value, expires_after)
    except wit.Err as error:
        raise _full(error) from None


def delete(key: str) -> None:
    """Removes a key."""
    wit.keyvalue.delete(key)


def compare_and_swap(
    key: str, expected: Optional[bytes], value: bytes, expires_after: Optional[int] = None
) -> bool:
    """Puts a value under a key if what is there is still `expected` (`None`: nothing is there). Whether it did."""
    try:
        return wit.keyvalue.compare_and_swap(key, expected, value, expires_after)
    except wit.Err as error:
        raise _full(error) from None


def claim(key: str, expires_after: Optional[int] = None) -> bool:
    """Claims a key for the event of this call. `True` where nobody holds it, or this very event does."""
    try:
        return wit.keyvalue.claim(key, expires_after)
    except wit.Err as error:
        raise _full(error) from None


def _full(error: Exception) -> Permanent:
    large = isinstance(getattr(error, "value", None), wit.keyvalue.Error_TooLarge)
    return Permanent("a key or value is too large to be kept" if large else "the step's state is full")
