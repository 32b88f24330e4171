// For a plugin's own tests: events made by hand, and what a transform hands out. No WebAssembly is needed.

import { Emitter } from "./emitter.js";
import { Event, lower } from "./event.js";
import { configured as fromText } from "./export.js";
import { interfaces } from "./host.js";

const encoder = new TextEncoder();

export const configured = (plugin, settings = {}) => fromText(plugin, JSON.stringify(settings));

export function event({ data, ...attributes } = {}) {
  const named = { id: "1", source: "/test", type: "test" };
  if (typeof data === "string") data = encoder.encode(data);
  else if (data !== undefined && !(data instanceof Uint8Array)) {
    named.datacontenttype = "application/json";
    data = encoder.encode(JSON.stringify(data));
  }
  const values = Object.entries({ ...named, ...attributes }).map(([name, value]) => [name, lower(value)]);
  return new Event(new RawEvent(new Map(values), data));
}

export function apply(transform, given) {
  const raw = new RawEmitter();
  transform(given, new Emitter(raw));
  return raw.handed.map((handed) => new Event(handed));
}

export function emptyState() {
  interfaces.keyvalue = new State();
}

const CORE = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

class RawEvent {
  constructor(attributes, bytes) {
    this.attributes = attributes;
    this.bytes = bytes;
  }
  id = () => this.attributes.get("id").val;
  source = () => this.attributes.get("source").val;
  kind = () => this.attributes.get("type").val;
  subject = () => this.attributes.get("subject")?.val;
  time = () => this.attributes.get("time")?.val;
  dataContentType = () => this.attributes.get("datacontenttype")?.val;
  dataSchema = () => this.attributes.get("dataschema")?.val;
  attribute = (name) => this.attributes.get(name);
  extensions = () =>
    [...this.attributes]
      .filter(([name]) => !CORE.includes(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => ({ name, value }));
  dataLength = () => (this.bytes === undefined ? undefined : BigInt(this.bytes.length));
  data = () => this.bytes ?? new Uint8Array();
  text = () => {
    try {
      return this.bytes && new TextDecoder("utf-8", { fatal: true }).decode(this.bytes);
    } catch {
      return undefined;
    }
  };
}

class RawDraft {
  constructor(event) {
    this.event = event;
  }
  set(name, value) {
    if (name === "specversion" || !/^[a-z0-9]+$/.test(name)) throw `\`${name}\` is no attribute that can be set`;
    this.event.attributes.set(name, value);
  }
  remove(name) {
    if (["id", "source", "type", "specversion"].includes(name)) throw `\`${name}\` is required`;
    this.event.attributes.delete(name);
  }
  setData = (data) => (this.event.bytes = data);
  setText = (text) => (this.event.bytes = encoder.encode(text));
  removeData = () => (this.event.bytes = undefined);
}

class RawEmitter {
  handed = [];

  pass(event) {
    this.handed.push(event);
  }
  edit(event) {
    const copy = new RawEvent(new Map(event.attributes), event.bytes);
    this.handed.push(copy);
    return new RawDraft(copy);
  }
  emit({ id, source, kind, subject, time, dataContentType, dataSchema, extensions, data }) {
    const values = [id, source, kind, subject, time, dataContentType, dataSchema];
    const core = CORE.map((name, index) => [name, values[index]]).filter(([, value]) => value !== undefined);
    const attributes = new Map(core.map(([name, value]) => [name, lower(value)]));
    extensions.forEach(({ name, value }) => attributes.set(name, value));
    this.handed.push(new RawEvent(attributes, data));
  }
}

/** The step's state, in memory. Times do not pass in it; every claim is another event's. */
class State {
  values = new Map();

  get = (key) => this.values.get(key);
  set(key, value) {
    if (encoder.encode(key).length > 1 << 10 || value.length > 1 << 16) throw { tag: "too-large" };
    this.values.set(key, value);
  }
  delete = (key) => void this.values.delete(key);
  compareAndSwap(key, expected, value) {
    if (String(this.values.get(key)) !== String(expected)) return false;
    this.set(key, value);
    return true;
  }
  claim = (key) => this.compareAndSwap(key, undefined, new Uint8Array());
}

emptyState();
