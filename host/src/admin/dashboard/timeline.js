// One event from its acceptance to where it is now: rules, steps with what they changed, tries.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, plural, seconds } from "./format.js";
import { empty, failure, figures, health, moment, panel, unsupported, version } from "./parts.js";

const EVERY_MS = 4_000;
const STATES = {
  delivered: ["ok", "delivered"],
  dropped: ["idle", "dropped"],
  dead_letter: ["bad", "dead letter"],
  pending: ["warn", "under way"],
  unmatched: ["idle", "matched by no rule"],
};
const LEFT_OUT = { not_sampled: "not of its sample", duplicate: "one of the same source and id went before", rate: "more came than its rate" };
const VERDICTS = { keep: ["ok", "kept"], change: ["ok", "changed"], split: ["ok", "split"], drop: ["idle", "dropped"], fail: ["bad", "failed"] };

const state = { id: "", events: null, problem: null, due: 0 };

export function choose(id) {
  if (id !== state.id) Object.assign(state, { id, events: null, problem: null });
  state.due = 0;
}

export async function load({ redraw }) {
  if (Date.now() < state.due) return;
  state.due = Date.now() + EVERY_MS;
  try {
    state.events = (await api.get(`/api/v1/explain/${encodeURIComponent(state.id)}`)).events;
    state.problem = null;
  } catch (problem) {
    state.problem = problem;
  }
  redraw();
}

const given = (value) => value !== null && value !== undefined;
const mark = (table, name) => health(...(table[name] || ["idle", name]));
const item = (kind, ...content) => h("li", { class: kind }, ...content);

/** What a step changed, by name: the values are not kept. */
const diff = (changed) =>
  changed?.length > 0 && h("ul", { class: "diff", "aria-label": "Changed" }, changed.map((name) => h("li", null, h("ins", null, name))));

const stepItem = ({ step, plugin, digest, verdict, reason, changed }) =>
  item((VERDICTS[verdict] || ["idle"])[0],
    h("p", null, h("strong", null, plugin), h("span", { class: "quiet" }, ` step ${step + 1} `), version(digest), " ", mark(VERDICTS, verdict)),
    reason && h("p", null, reason), diff(changed));

function deliveryItem({ backend, tries, receipt, at_ms: at, latency_ms: latency }) {
  const facts = [plural(tries, "try", "tries"), at && ["at ", moment(at)], given(latency) && `${seconds(latency / 1000)} after acceptance`];
  return item(at ? "ok" : "warn",
    h("p", null, h("strong", null, backend), " ", at ? health("ok", "confirmed") : health("warn", "not confirmed yet")),
    h("p", { class: "quiet" }, facts.filter(Boolean).map((fact, index) => [index ? " · " : "", fact])),
    receipt && h("p", null, h("code", null, receipt)));
}

const burialItem = ({ place, reason }) =>
  item("bad", h("p", null, h("strong", null, place), " ", health("bad", "given up")), h("p", null, reason));

const letterItem = (number) =>
  item("bad", h("p", null, health("bad", "dead letter"), " ", h("a", { href: `#/dead-letters/${number}` }, `number ${number}`)));

function journey({ route, generation, left_out: leftOut, steps = [], deliveries = [], buried = [], owed, dead_letter: letter }) {
  const waiting = (owed || 0) - deliveries.length - buried.length;
  return h("li", { class: "journey" },
    h("p", null, "Route ", h("strong", null, route), given(generation) && h("span", { class: "quiet" }, ` by generation ${count(generation)}`)),
    h("ol", { class: "timeline" }, leftOut && item("idle", h("p", null, health("idle", "left out"), ` ${LEFT_OUT[leftOut] || leftOut}`)), steps.map(stepItem), deliveries.map(deliveryItem), buried.map(burialItem), given(letter) && letterItem(letter),
      waiting > 0 && item("warn", h("p", null, health("warn", `still owed to ${plural(waiting, "backend")}`)))));
}

const one = (event, index) =>
  panel(event.type || "The event itself is gone", { id: `event-${index}`, tools: mark(STATES, event.state) },
    figures([["Id", h("code", null, event.id)], ["Source", event.source || "unknown"], ["Subject", event.subject || "none"],
      given(event.offset) && ["Offset", count(event.offset)], given(event.generation) && ["Generation", count(event.generation)]]),
    h("ol", { class: "timeline" },
      given(event.letter)
        ? item("ok", h("p", null, h("strong", null, "Tried again"), ` as dead letter ${event.letter}`), h("p", { class: "quiet" }, moment(event.at_ms)))
        : item("ok", h("p", null, h("strong", null, "Accepted"), " ", health("ok", "in the journal")), h("p", { class: "quiet" }, moment(event.at_ms))),
      event.journeys.length ? event.journeys.map(journey) : item("idle", h("p", null, "No route has taken it."))));

export function view() {
  const { events, problem, id } = state;
  const back = h("p", { "data-key": "back" }, h("a", { href: "#/events" }, "All events"));
  if (problem?.unsupported) return [back, unsupported("what became of an event")];
  if (problem) return [back, failure(problem, "The event cannot be explained")];
  if (!events) return [back, h("p", { class: "quiet" }, "Looking it up…")];
  if (!events.length) return [back, empty(`No event has the id ${id}`, "It was never accepted here, or it is older than host.journal.retention keeps.")];
  return [back, events.length > 1 && h("p", { class: "quiet", "data-key": "several" }, `${plural(events.length, "passage")} of events with this id, the latest first.`), events.map(one)];
}
