// Overview: a live picture of the way of an event.

import { Source } from "./api.js";
import { spark } from "./chart.js";
import { h } from "./dom.js";
import * as flow from "./flow.js";
import { bytes, count, perSecond, plural, seconds, span } from "./format.js";
import * as history from "./history.js";
import * as metrics from "./metrics.js";
import { health, panel } from "./parts.js";

const routes = new Source("/api/v1/routes", 10_000);
let generation = 0;

const figure = (id, label, value, more, chart) =>
  h("div", { class: "figure", "data-key": id },
    h("dt", null, label), h("dd", null, h("span", { class: "big" }, value), h("span", { class: "quiet" }, more)), chart && h("dd", { class: "trend" }, chart));

function figuresOf({ journal, lanes, dead_letters: letters, rates }) {
  // A page that was just opened has no two samples yet; the host has.
  const rate = (name, key) => metrics.rate(`stagewire_${name}_total`) ?? rates?.[key];
  const [received, refused] = [rate("events_received", "received"), rate("events_refused", "refused")];
  const [published, failures] = [rate("events_published", "published"), rate("publish_failures", "failures")];
  const dropped = history.dropped() ?? rates?.dropped;
  const waiting = lanes.reduce((all, lane) => all + lane.overflow_bytes, 0);
  const series = history.series;
  return h("dl", { class: "heads" },
    figure("received", "Received", perSecond(received), refused ? `${perSecond(refused)} refused` : "none refused", spark("Received", series("received"), "/s")),
    figure("delivered", "Delivered", perSecond(published), "confirmed by backends", spark("Delivered", history.total("published"), "/s")),
    figure("failures", "Failed tries", perSecond(failures), "at backends, tried again", spark("Failed tries", history.total("failures"), "/s")),
    figure("dropped", "Dropped", perSecond(dropped), "by rules and plugins", history.has("dropped") && spark("Dropped", series("dropped"), "/s")),
    figure("unsettled", "Unsettled", count(journal.unsettled), lag(waiting), spark("Unsettled", series("unsettled"))),
    figure("letters", "Dead letters", count(letters), letters ? h("a", { href: "#/dead-letters" }, "look at them") : "nothing waits for you"));
}

/** What stands between backticks is to be typed. */
const commands = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", null, part) : part));

const SEVERITY = { critical: "bad", error: "bad", warning: "warn" };

const problem = ({ severity, subject, kind, what, cause, next, page }) =>
  h("li", { class: `notice ${SEVERITY[severity] || "warn"}`, "data-key": `${kind}-${subject}`, "data-kind": kind },
    h("p", { class: "title" }, health(SEVERITY[severity] || "warn", severity), " ", page ? h("a", { href: `#/${page}` }, what) : what),
    cause && h("pre", null, cause), h("p", null, h("strong", null, "Next: "), commands(next)));

/** What the host itself finds wrong, the worst first. */
const problems = ({ problems: all }) =>
  all && panel("What is wrong", { id: "problems", tools: all.length > 0 && h("span", { class: "quiet" }, plural(all.length, "problem")) },
    all.length ? h("ul", { class: "problems" }, all.map(problem)) : h("p", null, health("ok", "nothing is wrong")));

/** How far behind the host is: the age of what waits longest, or what lies on disk. */
function lag(overflow) {
  const oldest = metrics.now("stagewire_journal_oldest_unsettled_seconds");
  if (overflow) return `${bytes(overflow)} in overflow`;
  return oldest > 0 ? `the oldest ${seconds(oldest)}` : "nothing waits long";
}

function covers() {
  const { points, interval_ms: each } = history.series("received");
  const time = (points.length * each) / 1000;
  if (points.length < 2) return "The lines begin now.";
  return `The lines show the last ${time >= 3_500 ? "hour" : span(time)}.`;
}

export default {
  path: "",
  title: "Overview",
  async load({ status }) {
    if (generation !== status.generation) routes.stale();
    generation = status.generation;
    await Promise.all([history.refresh(), routes.refresh()]);
  },
  mark: "problems",
  view: ({ status }) => [
    problems(status),
    figuresOf(status),
    h("p", { class: "quiet covers", "data-key": "covers" }, covers()),
    panel("The way of an event", { id: "way", class: "panel way" }, flow.view(status, routes.data)),
  ],
  drawn: flow.connect,
  leave: flow.leave,
};
