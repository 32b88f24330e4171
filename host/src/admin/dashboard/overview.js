// Overview: a live picture of the way of an event.

import { Source } from "./api.js";
import { spark } from "./chart.js";
import { h } from "./dom.js";
import * as flow from "./flow.js";
import { bytes, count, perSecond, plural, seconds, span } from "./format.js";
import * as history from "./history.js";
import * as metrics from "./metrics.js";
import { health, moment, panel, table } from "./parts.js";

const routes = new Source("/api/v1/routes", 10_000);
const audit = new Source("/api/v1/audit?limit=8", 10_000);
let generation = 0;

const figure = (id, label, value, more, chart) =>
  h("div", { class: "figure", "data-key": id },
    h("dt", null, label), h("dd", null, h("span", { class: "big" }, value), h("span", { class: "quiet" }, more)), chart && h("dd", { class: "trend" }, chart));

function figuresOf({ journal, lanes, dead_letters: letters }) {
  const rate = (name) => metrics.rate(`stagewire_${name}_total`);
  const [received, refused] = [rate("events_received"), rate("events_refused")];
  const [published, failures] = [rate("events_published"), rate("publish_failures")];
  const waiting = lanes.reduce((all, lane) => all + lane.overflow_bytes, 0);
  const series = history.series;
  return h("dl", { class: "heads" },
    figure("received", "Received", perSecond(received), refused ? `${perSecond(refused)} refused` : "none refused", spark("Received", series("received"), "/s")),
    figure("delivered", "Delivered", perSecond(published), "confirmed by backends", spark("Delivered", history.total("published"), "/s")),
    figure("failures", "Failed tries", perSecond(failures), "at backends, tried again", spark("Failed tries", history.total("failures"), "/s")),
    figure("dropped", "Dropped", perSecond(metrics.dropped()), "by rules and plugins", history.has("dropped") && spark("Dropped", series("dropped"), "/s")),
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

const CHANGES = [{ name: "When", kind: "time" }, { name: "Who" }, { name: "What" }, { name: "On" }, { name: "Ended" }];

const change = ({ at_ms: at, who, action, target, outcome, reason }, index) => ({
  key: `change-${at}-${index}`,
  cells: [moment(at), who, action, h("code", null, target.replace("/api/v1/", "")), outcome === "done" ? health("ok", "done") : [health("bad", "refused"), reason && h("p", { class: "quiet" }, reason)]],
});

/** Who changed what, by the API, this page or a command. */
const changes = () =>
  audit.data && panel("Who changed what", { id: "changes" },
    audit.data.length ? table("The latest changes by the admin API, the dashboard and commands", CHANGES, audit.data.map(change), { class: "rows" }) : h("p", { class: "quiet" }, "Nobody has changed anything by the admin API, the dashboard or a command."));

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
    if (generation !== status.generation) [routes, audit].forEach((source) => source.stale());
    generation = status.generation;
    await Promise.all([history.refresh(), routes.refresh(), audit.refresh()]);
  },
  mark: "problems",
  view: ({ status }) => [
    problems(status),
    figuresOf(status),
    h("p", { class: "quiet covers", "data-key": "covers" }, covers()),
    panel("The way of an event", { id: "way", class: "panel way" }, flow.view(status, routes.data)),
    changes(),
  ],
  drawn: flow.connect,
  leave: flow.leave,
};
