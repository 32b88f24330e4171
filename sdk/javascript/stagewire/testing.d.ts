/** For a plugin's own tests: events made by hand, and what a transform hands out. No WebAssembly is needed. */

import type { Emitter, Event, FilterPlugin, TransformPlugin, Value, Verdict } from "./index.js";

/** What a plugin does with these settings, checked as the host does; throws `Refused` where they are wrong. */
export declare function configured<S>(plugin: FilterPlugin<S>, settings?: unknown): (event: Event) => Verdict;
export declare function configured<S>(
  plugin: TransformPlugin<S>,
  settings?: unknown,
): (event: Event, out: Emitter) => void;

/**
 * An event: `id` is `1`, `source` is `/test`, `type` is `test`, where nothing else is said. Bytes and text are `data` as they
 * are, anything else is written as JSON, with its `datacontenttype`.
 */
export declare function event(attributes?: { data?: unknown; [name: string]: Value | unknown }): Event;

/** The events that a transform hands out for one, in order. */
export declare function apply(transform: (event: Event, out: Emitter) => void, given: Event): Event[];

/** Empties the step's state, as it is before the first event. */
export declare function emptyState(): void;
