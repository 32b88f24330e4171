import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "./plugin";
import { drop, keep } from "./stagewire/index.js";
import { configured, event } from "./stagewire/testing.js";

test("a type with the prefix and a subject is kept", () => {
  const decide = configured(plugin, { prefix: "com.example." });
  assert.deepEqual(decide(event({ type: "com.example.made", subject: "1" })), keep);
  assert.deepEqual(decide(event({ type: "com.example.made" })), drop("no subject"));
  const reason = "type org.made does not start with com.example.";
  assert.deepEqual(decide(event({ type: "org.made", subject: "1" })), drop(reason));
});

test("wrong settings are refused", () => {
  assert.throws(() => configured(plugin, { prefx: "com." }), /did you mean `prefix`/);
  assert.throws(() => configured(plugin, { prefix: "" }), /is empty/);
});
