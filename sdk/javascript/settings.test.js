import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "./stagewire/settings.js";

const schema = {
  type: "object",
  properties: {
    least: { type: "integer", minimum: 1 },
    ratio: { type: "number" },
    names: { type: "array", items: { type: "string", minLength: 2 } },
    mode: { enum: ["fast", "exact"] },
    inner: { type: ["object", "null"], properties: { name: { type: "string" } }, required: ["name"] },
  },
  required: ["least"],
  additionalProperties: false,
};

test("settings that fit are handed on", () => {
  const text = '{"least": 1, "ratio": 2, "names": ["ab"], "mode": "fast", "inner": {"name": "b"}}';
  assert.deepEqual(parse(text, schema), JSON.parse(text));
  assert.deepEqual(parse('{"least": 1, "inner": null}', schema), { least: 1, inner: null });
});

test("a refusal names the field", () => {
  for (const [text, reason] of [
    ["{}", "missing field `least`"],
    ['{"least": 1.5}', "`least`: a whole number was expected, not a number"],
    ['{"least": 0}', "`least`: 1 or more was expected"],
    ['{"least": 1, "leest": 1}', "unknown field `leest`; did you mean `least`?"],
    ['{"least": 1, "zzzzz": 1}', "unknown field `zzzzz`"],
    ['{"least": 1, "names": [1]}', "`names[0]`: text was expected, not a whole number"],
    ['{"least": 1, "names": [""]}', "`names[0]` is empty"],
    ['{"least": 1, "mode": "slow"}', '`mode`: one of "fast", "exact" was expected'],
    ['{"least": 1, "inner": {}}', "missing field `name`"],
    ["[]", "`settings`: an object was expected, not an array"],
  ]) {
    assert.throws(() => parse(text, schema), { name: "Refused", message: reason }, text);
  }
});

test("a plugin without a schema takes none", () => {
  assert.deepEqual(parse("{}", undefined), {});
  assert.throws(() => parse('{"a": 1}', undefined), { message: "unknown field `a`" });
});
