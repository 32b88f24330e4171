// What the host calls: `stagewire plugin build` writes an entry that exports one of these of the plugin.

import { Emitter } from "./emitter.js";
import { Permanent, Refused, Transient } from "./errors.js";
import { Event } from "./event.js";
import { interfaces, log } from "./host.js";
import { parse } from "./settings.js";

/** What a plugin does with these settings, JSON text: a function of an event. */
export function configured(plugin, text) {
  return plugin.configure(parse(text, plugin.settings));
}

export function exported(plugin, about, given) {
  Object.assign(interfaces, given);
  let run;
  return {
    describe: () => ({ ...about, settingsSchema: plugin.settings ? JSON.stringify(plugin.settings) : "" }),
    configure(settings) {
      try {
        run = configured(plugin, settings);
      } catch (error) {
        throw error instanceof Refused ? error.message : place(error);
      }
    },
    keep: (event) => called(() => run(new Event(event))),
    apply(event, raw) {
      const out = new Emitter(raw);
      called(() => run(new Event(event), out));
      out.release();
    },
  };
}

function called(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof Transient) throw { tag: "transient", val: error.message };
    if (error instanceof Permanent) throw { tag: "permanent", val: error.message };
    // Its message stays out: it may quote the event.
    log(place(error), "error");
    throw { tag: "permanent", val: place(error) };
  }
}

function place(error) {
  const where = /([\w.-]+\.m?[jt]s:\d+:\d+)/.exec(error?.stack ?? "");
  return `${error?.name ?? "something"} was thrown${where ? ` at ${where[1]}` : ""}`;
}
