// Events: what comes in, live; search; and what became of one event.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, clock, iso, plural } from "./format.js";
import { empty, failure, field, panel, table, unsupported } from "./parts.js";
import * as timeline from "./timeline.js";

const MOST = 100;
/** The list is drawn no oftener than that, however many events come. */
const DRAWN_EVERY_MS = 500;
const SEARCHED_EVERY_MS = 4_000;
const TAILED_EVERY_MS = 30_000;

const state = { rows: null, problem: null, fields: {}, live: true, due: 0, tailDue: 0 };
let tail = null;
let coming = [];
let flushing = 0;

const wanted = ({ id, type, subject, source }) => {
  const { fields } = state;
  const part = (text, wanted) => !wanted || (text || "").includes(wanted);
  return (!fields.id || fields.id === id) && part(type, fields.type) && part(subject, fields.subject) && part(source, fields.source);
};

function follow(context) {
  if (tail || !state.live || context.rest || Date.now() < state.tailDue) return;
  tail = new AbortController();
  listen(context, tail);
}

/** To the end of the tail. */
async function listen(context, own) {
  try {
    for await (const row of api.stream("/api/v1/events/tail", own.signal)) {
      coming.push(row);
      if (coming.length > MOST) coming.shift();
      flushing ||= setTimeout(() => flush(context), DRAWN_EVERY_MS);
    }
  } catch (problem) {
    // A host without a tail, or one that goes away: the list is asked for instead, and a tail some time later.
    state.tailDue = Date.now() + (problem instanceof api.Problem && problem.status ? TAILED_EVERY_MS : 0);
  }
  if (tail !== own) return;
  state.due = 0;
  stop();
}

function flush(context) {
  // What somebody points at does not run away.
  if (document.querySelector(".events a:hover, .events a:focus")) {
    flushing = setTimeout(() => flush(context), DRAWN_EVERY_MS);
    return;
  }
  flushing = 0;
  const known = new Set(state.rows?.map(({ offset }) => offset));
  const fresh = coming.filter((row) => wanted(row) && !known.has(row.offset)).reverse();
  coming = [];
  if (!fresh.length) return;
  state.rows = [...fresh, ...(state.rows || [])].slice(0, MOST);
  context.redraw();
}

function stop() {
  tail?.abort();
  tail = null;
  clearTimeout(flushing);
  flushing = 0;
  coming = [];
}

async function search() {
  state.due = Date.now() + SEARCHED_EVERY_MS;
  try {
    state.rows = await api.get(`/api/v1/events${api.query({ limit: MOST, ...state.fields })}`);
    state.problem = null;
  } catch (problem) {
    state.problem = problem;
    if (problem.unsupported) state.due += 60_000;
  }
}

const row = ({ offset, at_ms: at, id, type, source, subject, size }) => ({
  key: `event-${offset}`,
  cells: [
    h("time", { datetime: iso(at), title: iso(at) }, clock(at)),
    h("a", { href: `#/events/${encodeURIComponent(id)}` }, id),
    type,
    subject || h("span", { class: "quiet" }, "none"),
    source,
    bytes(size),
  ],
});

const COLUMNS = [{ name: "Time", kind: "time" }, { name: "Id" }, { name: "Type" }, { name: "Subject" }, { name: "Source" }, { name: "Size", kind: "number" }];

function list() {
  const { rows, problem, fields } = state;
  if (problem?.unsupported) return unsupported("the events that it took in");
  if (problem) return failure(problem, "The events cannot be listed");
  if (!rows) return h("p", { class: "quiet" }, "Reading the journal…");
  if (rows.length) return table("The newest first. The list stands still while you point at an id.", COLUMNS, rows.map(row), { class: "rows events" });
  return Object.values(fields).some(Boolean)
    ? empty("No such event", "Id must be the whole id; of type, subject and source a part is enough. Older events are gone (host.journal.retention).")
    : empty("No event yet", h("span", null, "Send one: ", h("code", null, "stagewire send --type com.example.hello --source me --data '{}'")));
}

export default {
  path: "events",
  title: "Events",
  titleOf: (id) => h("span", null, "Event ", h("code", null, id)),
  enter({ rest }) {
    state.due = 0;
    timeline.choose(rest);
  },
  async load(context) {
    if (context.rest) return timeline.load(context);
    if (Date.now() >= state.due && (state.live || !state.rows)) await search();
    if (!state.problem) follow(context);
    // With a tail the list needs no asking.
    if (tail) state.due = Infinity;
    context.redraw();
  },
  leave: stop,
  view(context) {
    if (context.rest) return timeline.view(context);
    return [
      h("form", { class: "filters", "data-act": "search", "data-key": "search" },
        field("Id", "id"), field("Type", "type"), field("Subject", "subject"), field("Source", "source"),
        h("div", { class: "buttons" }, h("button", { class: "primary" }, "Search"), h("button", { type: "reset", "data-act": "clear" }, "Clear"))),
      panel("In the journal", {
        id: "journal",
        tools: [h("button", { type: "button", "data-act": "live", "aria-pressed": String(state.live) }, state.live ? "Live: on" : "Live: off")],
      }, list()),
    ];
  },
  actions: {
    async search(form, context) {
      state.fields = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
      await search();
      if (!state.problem) context.say(state.rows.length === MOST ? `The newest ${MOST} of them are listed.` : `${plural(state.rows.length, "event")} found.`);
    },
    async clear() {
      state.fields = {};
      await search();
    },
    live(_, context) {
      state.live = !state.live;
      state.due = 0;
      if (state.live) context.refresh();
      else stop();
    },
  },
};
