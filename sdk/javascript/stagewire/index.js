// Write a Stagewire plugin in JavaScript: one object, tested without WebAssembly. Types and words: index.d.ts.

export { Draft, Emitter } from "./emitter.js";
export { Permanent, Refused, Transient } from "./errors.js";
export { Event } from "./event.js";
export { count, log, now, observe } from "./host.js";
export * as state from "./state.js";

export const keep = Object.freeze({ tag: "keep" });

export const drop = (reason) => ({ tag: "drop", val: reason });

export const filter = (plugin) => ({ kind: "filter", ...plugin });

export const transform = (plugin) => ({ kind: "transform", ...plugin });
