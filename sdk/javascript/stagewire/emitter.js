// How a transform hands its events out.

import { attempt } from "./errors.js";
import { lower } from "./event.js";

export class Draft {
  constructor(raw) {
    this.raw = raw;
  }
  set(name, value) {
    attempt(() => this.raw.set(name, lower(value)));
    return this;
  }
  remove(name) {
    attempt(() => this.raw.remove(name));
    return this;
  }
  setData(data) {
    this.raw.setData(data);
    return this;
  }
  setText(text) {
    this.raw.setText(text);
    return this;
  }
  setJson(value) {
    return this.setText(JSON.stringify(value));
  }
  removeData() {
    this.raw.removeData();
    return this;
  }
}

export class Emitter {
  #drafts = [];

  constructor(raw) {
    this.raw = raw;
  }
  pass(event) {
    this.raw.pass(event.raw);
  }
  edit(event) {
    const raw = this.raw.edit(event.raw);
    this.#drafts.push(raw);
    return new Draft(raw);
  }
  emit(event) {
    const extensions = Object.entries(event.extensions ?? {});
    const raw = {
      id: event.id,
      source: event.source,
      kind: event.type,
      subject: event.subject,
      time: event.time,
      dataContentType: event.datacontenttype,
      dataSchema: event.dataschema,
      extensions: extensions.map(([name, value]) => ({ name, value: lower(value) })),
      data: typeof event.data === "string" ? new TextEncoder().encode(event.data) : event.data,
    };
    attempt(() => this.raw.emit(raw));
  }
  /** Gives the drafts back; waiting for the garbage collector would fill the host's table. */
  release() {
    for (const raw of this.#drafts.splice(0)) raw[Symbol.dispose]?.();
  }
}
