/** Write a Stagewire plugin in JavaScript or TypeScript: one object, tested without WebAssembly. */

/** The value of an attribute. URIs, timestamps and binary values are text, as in JSON. */
export type Value = string | number | boolean;

/** One CloudEvent, lent for the length of a call. Each property reads from the host: what is not asked for is not copied. */
export declare class Event {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | undefined;
  /** RFC 3339. */
  readonly time: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  /** Any attribute by its CloudEvents name, core or extension. */
  attribute(name: string): Value | undefined;
  /** The extension attributes, sorted by name. */
  readonly extensions: Record<string, Value>;
  /** The length of `data` in bytes, without copying it; undefined where the event has no data. */
  readonly dataLength: number | undefined;
  /** A copy of `data`; empty where there is none. */
  readonly data: Uint8Array;
  /** `data` where it is UTF-8 text. */
  readonly text: string | undefined;
  /** `data` read as JSON; throws `Permanent` where it is none. */
  json<T = unknown>(): T;
}

/** What becomes of an event. */
export type Verdict = { readonly tag: "keep" } | { readonly tag: "drop"; readonly val: string };

/** The event goes on. */
export declare const keep: Verdict;

/** The event is dropped, with the reason that logs and provenance show. */
export declare function drop(reason: string): Verdict;

/** The settings are wrong. Thrown in `configure`, it refuses the swap, and the last good settings stay. */
export declare class Refused extends Error {}

/** This event can never be processed: the step's `on_error` decides at once. */
export declare class Permanent extends Error {}

/** The same call may succeed later: tried again where the step's `on_error` is `retry`. */
export declare class Transient extends Error {}

/** A copy of an event that may be changed until the call ends. What is not set stays the host's own bytes. */
export declare class Draft {
  /** Sets an attribute by its CloudEvents name (`type`, `subject`, an extension …). */
  set(name: string, value: Value): this;
  /** Removes an optional attribute. */
  remove(name: string): this;
  /** Replaces `data` and keeps `datacontenttype`. */
  setData(data: Uint8Array): this;
  /** Replaces `data` by text and keeps `datacontenttype`. */
  setText(text: string): this;
  /** Replaces `data` by JSON and keeps `datacontenttype`. */
  setJson(value: unknown): this;
  /** Removes `data`. */
  removeData(): this;
}

/** An event made from nothing; `specversion` is the host's. */
export interface NewEvent {
  id: string;
  source: string;
  type: string;
  subject?: string;
  time?: string;
  datacontenttype?: string;
  dataschema?: string;
  extensions?: Record<string, Value>;
  data?: Uint8Array | string;
}

/** Takes the events that come out of a call: none drops the event, several split it. They leave in this order. */
export declare class Emitter {
  /** Hands the event on as it is. */
  pass(event: Event): void;
  /** Hands on a copy that may still be changed until the call ends. */
  edit(event: Event): Draft;
  /** Hands a new event on. */
  emit(event: NewEvent): void;
}

/** A JSON Schema. What is checked: type, properties, required, additionalProperties, items, enum, minLength, minimum, maximum. */
export type Schema = { readonly [word: string]: unknown };

export interface FilterPlugin<Settings> {
  /** The JSON Schema of the settings; without one, no settings are taken. */
  settings?: Schema;
  /** Called once for each instance, with settings that fit the schema. */
  configure(settings: Settings): (event: Event) => Verdict;
}

export interface TransformPlugin<Settings> {
  /** As in a filter. */
  settings?: Schema;
  /** As in a filter. What was handed out before an exception is discarded. */
  configure(settings: Settings): (event: Event, out: Emitter) => void;
}

/** A plugin that keeps or drops events. */
export declare function filter<Settings = Record<string, never>>(plugin: FilterPlugin<Settings>): FilterPlugin<Settings>;

/** A plugin that hands out any number of events for one. */
export declare function transform<Settings = Record<string, never>>(
  plugin: TransformPlugin<Settings>,
): TransformPlugin<Settings>;

export type Level = "trace" | "debug" | "info" | "warn" | "error";

/** Writes to the host's log under the step's name. Never log an event's data. */
export declare function log(message: string, level?: Level): void;

/** Adds to a counter of the plugin's own; `name` is 1 to 64 of `a-z`, `0-9` and `_`. */
export declare function count(name: string, by?: number): void;

/** Adds a value to a histogram of the plugin's own. Names as in `count`. */
export declare function observe(name: string, value: number): void;

/** The time of this call: nanoseconds since 1970, the same from its beginning to its end, and again in a replay. */
export declare function now(): bigint;

/**
 * State of the step's own: small values by key, kept through swaps and restarts, shared by all workers. For a plugin whose
 * world is `stateful-filter` or `stateful-transform`, in a step that was granted `keyvalue`. Times are milliseconds.
 */
export declare namespace state {
  /** The value under a key; undefined where there is none, or it has expired. */
  function get(key: string): Uint8Array | undefined;
  /** Puts a value under a key. */
  function put(key: string, value: Uint8Array | string, expiresAfter?: number): void;
  /** Removes a key. */
  function remove(key: string): void;
  /** Puts a value under a key if what is there is still `expected`. Whether it did. */
  function compareAndSwap(
    key: string,
    expected: Uint8Array | undefined,
    value: Uint8Array | string,
    expiresAfter?: number,
  ): boolean;
  /** Claims a key for the event of this call. True where nobody holds it, or this very event does. */
  function claim(key: string, expiresAfter?: number): boolean;
}
