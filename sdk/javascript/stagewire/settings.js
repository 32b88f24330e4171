// Settings held against the plugin's JSON Schema, so that a refusal names the key. Of the schema language: type, properties,
// required, additionalProperties, items, enum, minLength, minimum, maximum. The rest is for editors.

import { Refused } from "./errors.js";

const WORDS = { string: "text", integer: "a whole number", number: "a number", boolean: "true or false" };
const words = (type) => WORDS[type] ?? `an ${type}`;

export function parse(text, schema) {
  const settings = JSON.parse(text);
  check(settings, schema ?? { type: "object", additionalProperties: false }, "settings");
  return settings;
}

function check(value, schema, where) {
  const { type } = schema;
  if (type !== undefined && ![type].flat().some((type) => is(value, type))) {
    throw new Refused(`\`${where}\`: ${[type].flat().map(words).join(" or ")} was expected, not ${words(called(value))}`);
  }
  if (schema.enum && !schema.enum.includes(value)) {
    throw new Refused(`\`${where}\`: one of ${schema.enum.map((item) => JSON.stringify(item)).join(", ")} was expected`);
  }
  if (typeof value === "string" && value.length < (schema.minLength ?? 0)) {
    throw new Refused(value === "" ? `\`${where}\` is empty` : `\`${where}\` is shorter than ${schema.minLength}`);
  }
  if (value < schema.minimum) throw new Refused(`\`${where}\`: ${schema.minimum} or more was expected`);
  if (value > schema.maximum) throw new Refused(`\`${where}\`: ${schema.maximum} or less was expected`);
  if (Array.isArray(value) && schema.items) {
    value.forEach((item, index) => check(item, schema.items, `${where}[${index}]`));
  } else if (called(value) === "object") {
    checkFields(value, schema);
  }
}

function checkFields(value, schema) {
  const known = schema.properties ?? {};
  for (const [key, item] of Object.entries(value)) {
    if (Object.hasOwn(known, key)) check(item, known[key], key);
    else if (schema.additionalProperties === false) throw new Refused(`unknown field \`${key}\`${hint(key, known)}`);
    else if (typeof schema.additionalProperties === "object") check(item, schema.additionalProperties, key);
  }
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key)) throw new Refused(`missing field \`${key}\``);
  }
}

function called(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

const is = (value, type) => called(value) === type || (type === "number" && typeof value === "number");

function hint(key, known) {
  const near = Object.keys(known).map((name) => [distance(key, name), name]);
  const [best] = near.sort(([a], [b]) => a - b);
  return best && best[0] <= Math.max(2, key.length / 3) ? `; did you mean \`${best[1]}\`?` : "";
}

function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, x] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, y] of [...b].entries()) {
      next.push(Math.min(row[j] + (x === y ? 0 : 1), row[j + 1] + 1, next[j] + 1));
    }
    row = next;
  }
  return row[b.length];
}
