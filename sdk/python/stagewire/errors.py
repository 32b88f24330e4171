"""What goes wrong, and whether trying again can help."""


class Refused(Exception):
    """The settings are wrong. Raised in `__init__`, it refuses the swap, and the last good settings stay."""


class Permanent(Exception):
    """This event can never be processed: the step's `on_error` decides at once."""


class Transient(Exception):
    """The same call may succeed later: tried again where the step's `on_error` is `retry`."""
