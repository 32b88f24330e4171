import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "./plugin";
import { apply, configured, event } from "./stagewire/testing.js";

const transform = configured(plugin, { stamp: "checked", remove: ["text"] });

test("an event is stamped and loses the fields", () => {
  const [out] = apply(transform, event({ subject: "1", data: { text: "long", n: 1 } }));
  assert.equal(out.attribute("stamp"), "checked");
  assert.equal(out.subject, "1");
  assert.deepEqual(out.json(), { n: 1 });
});

test("data of another kind is left alone", () => {
  const [out] = apply(transform, event({ datacontenttype: "text/plain", data: "text" }));
  assert.equal(out.text, "text");
});

test("data that is no object is refused", () => {
  assert.throws(() => apply(transform, event({ data: [1] })), /not a JSON object/);
});
