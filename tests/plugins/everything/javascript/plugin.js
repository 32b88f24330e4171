// Uses everything that the SDK has, and says in new events what it saw.

import { count, log, now, observe, Permanent, state, transform, Transient } from "./stagewire/index.js";

export default transform({
  configure: () => (event, out) => {
    if (event.type === "transient") throw new Transient("later");
    if (event.type === "permanent") throw new Permanent("never");
    if (event.type === "panic") throw new TypeError("a secret");
    log("one line", "warn");
    count("seen", 2);
    observe("size", 1.5);
    out.pass(event);
    const draft = out.edit(event);
    draft.set("number", event.attribute("number") + 1).set("flag", false).remove("subject");
    try {
      draft.set("specversion", "2.0");
    } catch (error) {
      if (error instanceof Permanent) draft.setText("größer");
    }
    out.edit(event).removeData();
    const claimed = state.claim(`id-${event.id}`, 60_000);
    out.emit({
      id: `new-${event.id}`,
      source: event.source,
      type: "report",
      datacontenttype: "text/plain",
      extensions: { claimed, kept: keep(), many: 3 },
      data: report(event),
    });
  },
});

function report(event) {
  const named = Object.entries(event.extensions).map(([name, value]) => ` ${name}=${value}`);
  return (
    `${event.subject} ${event.time} ${event.datacontenttype} "${event.dataschema ?? ""}" ` +
    `${event.dataschema !== undefined} ${event.dataLength} ${event.data.length} ${event.text} ` +
    `${event.attribute("absent") !== undefined}${named.join("")} ${now() > 0n}`
  );
}

function keep() {
  const bytes = (text) => new TextEncoder().encode(text);
  state.put("key", "one");
  const wrong = state.compareAndSwap("key", bytes("two"), "three");
  const right = state.compareAndSwap("key", bytes("one"), "four");
  const value = new TextDecoder().decode(state.get("key"));
  state.remove("key");
  const left = state.get("key") !== undefined;
  let large = false;
  try {
    state.put("key", new Uint8Array(1 << 17));
  } catch (error) {
    large = error instanceof Permanent && /too.large/.test(error.message);
  }
  return `${wrong} ${right} ${value} ${left} ${large}`;
}
