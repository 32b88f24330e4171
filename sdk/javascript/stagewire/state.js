// State of the step's own, for a plugin whose world is `stateful-filter` or `stateful-transform`.

import { attempt } from "./errors.js";
import { interfaces } from "./host.js";

const encoder = new TextEncoder();
const bytes = (value) => (typeof value === "string" ? encoder.encode(value) : value);
const after = (milliseconds) => (milliseconds === undefined ? undefined : BigInt(milliseconds));

export const get = (key) => interfaces.keyvalue.get(key);

export const put = (key, value, expiresAfter) =>
  attempt(() => interfaces.keyvalue.set(key, bytes(value), after(expiresAfter)));

export const remove = (key) => interfaces.keyvalue.delete(key);

export const compareAndSwap = (key, expected, value, expiresAfter) =>
  attempt(() => interfaces.keyvalue.compareAndSwap(key, expected, bytes(value), after(expiresAfter)));

export const claim = (key, expiresAfter) => attempt(() => interfaces.keyvalue.claim(key, after(expiresAfter)));
