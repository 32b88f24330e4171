// Routes: the rules in force, and what they would do with an event.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, perSecond, plural } from "./format.js";
import * as metrics from "./metrics.js";
import { button, empty, failure, health, panel } from "./parts.js";

const SAMPLE = {
  specversion: "1.0",
  id: "try-1",
  source: "dashboard",
  type: "com.example.hello",
  subject: "greeting/1",
  datacontenttype: "application/json",
  data: { text: "hello" },
};

const routes = new api.Source("/api/v1/routes", 5_000);
const trial = { results: null, problem: null, event: null };
/** What is most likely not meant in the settings, as they were read last from here. */
let warnings = [];

/** The rules; where a host does not tell them, the names that its status has. */
function known({ routes: names, steps }) {
  if (routes.data) return routes.data;
  return names.map((name) => ({ name, steps: steps.filter(({ route }) => route === name) }));
}

/** The rule's text with the parts that decided marked. */
function rule(text, parts) {
  const marked = parts.reduce((pieces, part) => pieces.flatMap((piece) => {
    const at = typeof piece === "string" && part ? piece.indexOf(part) : -1;
    return at < 0 ? [piece] : [piece.slice(0, at), h("mark", null, part), piece.slice(at + part.length)];
  }), [text]);
  return h("code", { class: "rule" }, marked);
}

const arrow = () => h("span", { class: "arrow", "aria-hidden": "true" }, "→");

function path({ steps, deliver }) {
  const parts = [...steps.map(({ plugin, on_error: onError }) => h("a", { href: "#/plugins", title: onError && `on error: ${onError}` }, plugin)), deliver && (deliver.length ? deliver.join(", ") : "nowhere")];
  return h("p", { class: "path" }, parts.filter(Boolean).map((part) => h("span", null, arrow(), " ", part)));
}

const found = ([name, value]) => `${name} is ${value === null ? "absent" : JSON.stringify(value)}`;

/** The smallest parts of the rule that decided, and what the event has there. */
const because = (parts) =>
  parts.length > 0 && h("div", null, h("p", { class: "quiet" }, "Because"),
    h("ul", { class: "because" }, parts.map(({ part, holds, error, found: there }) => h("li", null,
      h("p", null, health(holds ? "ok" : error ? "warn" : "idle", holds ? "true" : error ? "not known" : "false"), " ", h("code", null, part)),
      h("p", { class: "quiet" }, error || Object.entries(there).map(found).join(", "))))));

const DEEDS = { keep: ["ok", "keeps it"], change: ["ok", "changes it"], drop: ["idle", "drops it"], fail: ["bad", "fails on it"] };

function stepItem({ plugin, verdict: words, deed, reason, change }, index, all) {
  const [kind, word] = DEEDS[deed] || ["idle", words];
  const several = change?.to.length !== 1;
  return h("li", { class: kind },
    h("p", null, h("strong", null, plugin), " ", health(kind, change && several ? `makes ${plural(change.to.length, "event")} of it` : word)),
    deed === "fail" ? h("p", null, words) : reason && h("p", null, reason),
    // What all steps make of it together is shown below.
    change && all.length > 1 && h("details", null, h("summary", null, "What it changes"), change.to.map((to) => difference(change.from, to))));
}

/** Where an event is put, in the broker's own terms. */
const delivery = ({ backend, address, place, problem }) =>
  h("li", null, arrow(), " ", h("strong", null, backend), place && [" ", h("code", null, place)], address && h("span", { class: "quiet address" }, ` ${address}`),
    problem && h("div", null, health("bad", "cannot be put there"), h("pre", null, problem)));

/** What comes out, where it is not what went in. */
function comesOut(event, name) {
  const changes = difference(trial.event, event);
  return changes.querySelector("ins, del") ? [h("p", { class: "quiet" }, `${name}, against what went in:`), changes] : h("p", { class: "quiet" }, `${name} is what went in.`);
}

function verdict({ matched, passed_over: why, left_out: leftOut, because: parts, steps, deliver, events, deliveries }) {
  if (!matched) return [h("p", null, health("idle", why ? "passed over" : "does not match")), why && h("p", { class: "quiet" }, why), because(parts)];
  if (leftOut) return [h("p", null, health("idle", "left out"), " It is not of the route's sample."), because(parts)];
  return [
    h("p", null, health(events.length ? "ok" : "idle", events.length ? `matches, delivers to ${deliver.join(", ") || "nowhere"}` : "matches, delivers nothing")),
    because(parts),
    steps.length > 0 && h("ol", { class: "timeline", "aria-label": "Steps" }, steps.map(stepItem)),
    events.map((event, index) => [
      comesOut(event, events.length > 1 ? `Event ${index + 1} of ${events.length}` : "What comes out"),
      h("ul", { class: "places", "aria-label": "Where it goes" }, deliveries.filter(({ event: of }) => of === index).map(delivery)),
    ]),
  ];
}

const lines = (event) => JSON.stringify(event, null, 2).split("\n");

/** Two events line by line: the longest common part stays, the rest was taken or added. */
function difference(before, after) {
  const [a, b] = [lines(before), lines(Object.fromEntries(Object.entries(after).sort(([x], [y]) => order(before, x) - order(before, y))))];
  const same = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) same[i][j] = a[i] === b[j] ? same[i + 1][j + 1] + 1 : Math.max(same[i + 1][j], same[i][j + 1]);
  }
  const out = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && a[i] === b[j]) out.push(h("span", null, `  ${a[i++]}\n`)), j++;
    else if (j >= b.length || (i < a.length && same[i + 1][j] >= same[i][j + 1])) out.push(h("del", null, `− ${a[i++]}\n`));
    else out.push(h("ins", null, `+ ${b[j++]}\n`));
  }
  return h("pre", { class: "diff", role: "group", tabindex: "0", "aria-label": "Difference" }, out);
}

/** Attributes in the order in which the event that was tried has them. */
function order(event, name) {
  const at = Object.keys(event).indexOf(name);
  return at < 0 ? 1e6 : at;
}

function card(route) {
  const result = trial.results?.find(({ route: name }) => name === route.name);
  return panel(route.name, {
    id: `route-${route.name}`,
    level: 3,
    tools: [h("span", { class: "quiet" }, `${perSecond(metrics.rate("stagewire_route_matches_total", { route: route.name }))} · ${count(metrics.now("stagewire_route_matches_total", { route: route.name }))} matched`)],
  }, route.match !== undefined && h("p", null, rule(route.match, result?.because.map(({ part }) => part) || [])), path(route), result && h("div", { class: "verdict" }, verdict(result)));
}

const tryPanel = () =>
  panel("Try an event", { id: "try" },
    h("form", { "data-act": "try", "data-key": "try-form" },
      h("label", { class: "field" }, h("span", null, "One event as structured JSON. Nothing is delivered."), h("textarea", { name: "event", rows: "12", spellcheck: "false" }, JSON.stringify(SAMPLE, null, 2))),
      h("div", { class: "buttons" }, h("button", { class: "primary" }, "Try it"), trial.results && button("Forget the result", "forget"))),
    trial.problem && failure(trial.problem, "The event was not tried"),
    trial.results && !trial.results.some(({ matched }) => matched) && empty("No rule matches", "Such an event is accepted, counted as unmatched, and goes nowhere."));

export default {
  path: "routes",
  title: "Routes",
  async load({ redraw }) {
    await routes.refresh();
    redraw();
  },
  view({ status }) {
    const all = known(status);
    return h("div", { class: "columns" },
      panel("Rules in force", { id: "rules", tools: [button("Read again from disk", "reload")] },
        routes.problem && !routes.unsupported && failure(routes.problem, "The rules cannot be read"),
        warnings.length > 0 && h("div", { class: "notice warn", "data-key": "warnings" }, h("p", { class: "title" }, "Most likely not meant"), warnings.map((text) => h("pre", null, text))),
        all.length ? all.map(card) : empty("No route", "Every admitted event goes to the configured backends.")),
      tryPanel());
  },
  actions: {
    async reload(_, { say, refresh }) {
      try {
        const { generation, warnings: found = [] } = await api.post("/api/v1/reload");
        warnings = found;
        say(`Generation ${generation} is in force${found.length ? `, with ${plural(found.length, "warning")}` : ""}.`);
      } catch (problem) {
        warnings = [];
        if (problem.status !== 422) throw problem;
        say("Refused. The last good rules go on; the reason stands above.", "bad");
      }
      routes.stale();
      await refresh();
    },
    async try(form) {
      Object.assign(trial, { results: null, problem: null });
      try {
        trial.event = JSON.parse(form.elements.event.value);
      } catch (error) {
        trial.problem = new api.Problem(0, `this is no JSON: ${error.message}`);
        return;
      }
      try {
        trial.results = await api.post("/api/v1/routes/test", JSON.stringify(trial.event), "application/cloudevents+json");
      } catch (problem) {
        trial.problem = problem.unsupported ? new api.Problem(404, "this host cannot try events yet; `stagewire route test --event FILE` can") : problem;
      }
    },
    forget() {
      Object.assign(trial, { results: null, problem: null });
    },
  },
};
