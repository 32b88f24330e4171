// The event: lent by the host for the length of a call, or made by hand in a test.

import { Permanent } from "./errors.js";

export class Event {
  constructor(raw) {
    this.raw = raw;
  }
  get id() {
    return this.raw.id();
  }
  get source() {
    return this.raw.source();
  }
  get type() {
    return this.raw.kind();
  }
  get subject() {
    return this.raw.subject();
  }
  get time() {
    return this.raw.time();
  }
  get datacontenttype() {
    return this.raw.dataContentType();
  }
  get dataschema() {
    return this.raw.dataSchema();
  }
  attribute(name) {
    return this.raw.attribute(name)?.val;
  }
  get extensions() {
    return Object.fromEntries(this.raw.extensions().map(({ name, value }) => [name, value.val]));
  }
  get dataLength() {
    const length = this.raw.dataLength();
    return length === undefined ? undefined : Number(length);
  }
  get data() {
    return this.raw.data();
  }
  get text() {
    return this.raw.text();
  }
  json() {
    const text = this.text;
    try {
      return JSON.parse(text);
    } catch {
      // The engine's message quotes the data.
      throw new Permanent(text === undefined ? "data is not JSON: it is not UTF-8 text" : "data is not JSON");
    }
  }
}

/** The interface's form of a value. */
export function lower(value) {
  switch (typeof value) {
    case "string":
      return { tag: "text", val: value };
    case "boolean":
      return { tag: "boolean", val: value };
    case "number":
      if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return { tag: "integer", val: value };
  }
  throw new Permanent("an attribute is text, a whole number of 32 bits, or true or false");
}
