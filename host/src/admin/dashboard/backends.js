// Backends: how each lane is, how fast, and what waits for it.

import * as api from "./api.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { ago, bytes, count, perSecond, seconds } from "./format.js";
import { laneHealth } from "./flow.js";
import * as history from "./history.js";
import * as metrics from "./metrics.js";
import { button, empty, figures, health, panel, table } from "./parts.js";

const BREAKER = { closed: "closed", half_open: "half open, one is tried", open: "open, nothing is tried" };

/** A backend that is well keeps no event waiting for so long. */
const LONG_MS = 5_000;
const given = (value) => value !== null && value !== undefined;

const latency = (name, q) => seconds(metrics.quantile("stagewire_publish_latency_seconds", { backend: name }, q));

const CONSUMERS = [{ name: "Reads from it" }, { name: "Behind", kind: "number" }, { name: "Not acknowledged", kind: "number" }, { name: "Looked at" }];

const known = (n) => (n === null ? "not known" : count(n));

/** Who reads from a backend, where its settings name them. */
const consumers = (all) =>
  table("Consumers, as the broker says", CONSUMERS, all.map(({ name, lag, pending, at_ms: at, error }) => ({
    key: name,
    cells: [name, error ? "not known" : known(lag), error ? "not known" : known(pending), error ? health("warn", error) : `${ago(at)} ago`],
  })), { class: "rows snug" });

function card(lane) {
  const { name, address, breaker, error, since_ms: since, queued, overflow_bytes: overflow, full, delivered, retries, dead, waits_ms: waits, publish_ms: takes } = lane;
  const [kind, word] = laneHealth(lane);
  const paused = word === "paused";
  const series = (what) => history.series(`${what}/${name}`);
  const failed = history.has(`failures/${name}`) ? ["failed tries", series("failures")] : ["tries again", series("retries")];
  const more = (n) => (n > 0 ? "warn" : null);
  return panel(name, {
    id: `backend-${name}`,
    tools: [health(kind, word), h("span", { class: "quiet" }, `for ${ago(since)}`),
      button(paused ? "Resume" : "Pause", paused ? "resume" : "pause", { "data-backend": name, "aria-label": `${paused ? "Resume" : "Pause"} ${name}` })],
  },
  h("p", { class: "address" }, address),
  error && h("div", { class: `notice ${kind === "ok" ? "warn" : kind}` }, h("pre", null, error)),
  figures([
    ["Delivered", perSecond(metrics.rate("stagewire_events_published_total", { backend: name }))],
    ["Latency p50", latency(name, 0.5)], ["Latency p95", latency(name, 0.95)], ["Latency p99", latency(name, 0.99)],
    given(takes) && ["A batch takes", seconds(takes / 1000)],
    ["Queued", count(queued)], given(waits) && ["The oldest waits", seconds(waits / 1000), waits > LONG_MS ? "warn" : null], ["Overflow", [bytes(overflow), full && ", full"], more(overflow)],
    ["Breaker", BREAKER[breaker] || breaker, breaker === "closed" ? null : "warn"],
    ["Delivered in all", count(delivered)], ["Retries", count(retries)], ["Given up", dead > 0 ? h("a", { href: "#/dead-letters" }, count(dead)) : "0", more(dead)],
  ], { class: "figures steady" }),
  lane.consumers?.length > 0 && consumers(lane.consumers),
  h("div", { class: "charts" },
    chart("Each second", [{ label: "delivered", kind: "ok", series: series("published") }, { label: failed[0], kind: "bad", series: failed[1] }], "/s"),
    chart("Queued events", [{ label: "queued", series: series("queued") }])));
}

const act = (verb, done) => async ({ dataset: { backend } }, { say, refresh }) => {
  await api.post(`/api/v1/backends/${encodeURIComponent(backend)}/${verb}`);
  say(`${backend} ${done}`);
  await refresh();
};

export default {
  path: "backends",
  mark: "backends",
  title: "Backends",
  async load({ redraw }) {
    await history.refresh();
    redraw();
  },
  view: ({ status: { lanes } }) =>
    lanes.length ? lanes.map(card) : empty("No backend", h("span", null, "Name one in the settings file: ", h("code", null, "events.backend"), ".")),
  actions: {
    pause: act("pause", "is paused: its events wait in its lane, and nobody else waits."),
    resume: act("resume", "goes on."),
  },
};
