"""Uses everything that the SDK has, and says in new events what it saw."""

from stagewire import Emitter, Event, Level, NewEvent, Permanent, Transform, Transient, count, log, now, observe, state


class Everything(Transform):
    def apply(self, event: Event, out: Emitter) -> None:
        if event.type == "transient":
            raise Transient("later")
        if event.type == "permanent":
            raise Permanent("never")
        if event.type == "panic":
            raise ValueError("a secret")
        log("one line", Level.WARN)
        count("seen", 2)
        observe("size", 1.5)
        out.pass_on(event)
        draft = out.edit(event)
        draft["number"] = event["number"] + 1
        draft["flag"] = False
        del draft["subject"]
        try:
            draft["specversion"] = "2.0"
        except Permanent:
            draft.set_text("größer")
        out.edit(event).remove_data()
        claimed = state.claim(f"id-{event.id}", 60_000)
        out.emit(
            NewEvent(
                id=f"new-{event.id}",
                source=event.source,
                type="report",
                datacontenttype="text/plain",
                extensions={"claimed": claimed, "kept": keep(), "many": 3},
                data=report(event).encode(),
            )
        )


def word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def report(event: Event) -> str:
    named = "".join(f" {name}={word(value)}" for name, value in event.extensions.items())
    return (
        f'{event.subject} {event.time} {event.datacontenttype} "{event.dataschema or ""}" '
        f"{word(event.dataschema is not None)} {event.data_length} {len(event.data)} {event.text} "
        f'{word("absent" in event)}{named} {word(now() > 0)}'
    )


def keep() -> str:
    state.put("key", b"one")
    wrong = state.compare_and_swap("key", b"two", b"three")
    right = state.compare_and_swap("key", b"one", b"four")
    value = state.get("key").decode()
    state.delete("key")
    left = state.get("key") is not None
    try:
        state.put("key", bytes(1 << 17))
        large = False
    except Permanent as error:
        large = "too large" in str(error)
    return f"{word(wrong)} {word(right)} {value} {word(left)} {word(large)}"
