// The picture of the way of an event: stages as lists that anybody can read, and lines between them where there is room.

import { h, show, svg } from "./dom.js";
import { bytes, count, digest, perSecond, seconds } from "./format.js";
import * as metrics from "./metrics.js";
import { health } from "./parts.js";

/** More routes than that are told of, not drawn: the Routes page lists all. */
const MOST_ROUTES = 12;
/** The way that a line takes to change its height, in pixels: what is between two stages. */
const TURN = 48;

const rate = (name, labels) => metrics.rate(`stagewire_${name}_total`, labels);
const moving = (n) => (n > 0 ? "ok" : "idle");

let links = [];

const node = (key, kind, title, href, ...lines) =>
  h("li", { class: `node ${kind}`, "data-key": key, "data-node": key },
    h("p", { class: "name" }, href ? h("a", { href }, title) : title),
    lines.filter(Boolean).map((line) => h("p", null, line)));

const stage = (id, title, nodes, more) =>
  h("div", { class: `stage ${id}`, "data-key": id, ...more }, h("h3", { id: `stage-${id}` }, title), h("ul", { "aria-labelledby": `stage-${id}` }, nodes));

const big = (n) => h("span", { class: "rate" }, perSecond(n));

/** An address that breaks between its parts. */
const breakable = (address) => address.split(/(?<=[/@])(?=[^/])/).map((part, index) => [index > 0 && h("wbr"), part]);

/** How a lane is, as one word. */
export function laneHealth({ state, breaker, full, paused, emptying, error }) {
  if (paused || state === "paused") return ["idle", "paused"];
  if (emptying) return ["idle", "draining"];
  if (breaker === "open") return ["bad", "breaker open"];
  if (state === "down") return ["bad", "down"];
  if (state === "connecting") return ["warn", "connecting"];
  if (breaker === "half_open") return ["warn", "trying again"];
  if (full) return ["warn", "full"];
  return error ? ["warn", "up, with errors"] : ["ok", "up"];
}

export function view(status, routes) {
  const known = ordered(status, routes);
  const shown = known.slice(0, MOST_ROUTES);
  links = linksOf(status, shown);
  return h("div", { class: "flow", id: "flow" },
    svg("svg", { class: "links", id: "flow-links", "aria-hidden": "true" }),
    stage("ingress", "Ingress", ingress()),
    stage("journal", "Journal", journal(status)),
    stage("routes", "Routes and steps", [shown.map((route) => routeNode(route, status)), unmatched(), rest(known.length - shown.length)], { "data-columns": columns(shown, status) }),
    stage("lanes", "Lanes", status.lanes.length ? status.lanes.map(lane) : node("no-lane", "idle", "none", null, "No backend is configured.")),
    stage("backends", "Backends", status.lanes.map(backend)));
}

/** A route and its longest row of steps, so that steps stand below each other. */
const columns = (shown, { steps }) => 1 + Math.min(5, Math.max(0, ...shown.map(({ name }) => steps.filter(({ route }) => route === name).length)));

/** Busiest first where there are too many; else in the order of the settings. */
function ordered({ routes: names }, routes) {
  const all = names.map((name) => ({ name, rate: rate("route_matches", { route: name }), ...routes?.find((route) => route.name === name) }));
  return all.length > MOST_ROUTES ? all.sort((a, b) => (b.rate || 0) - (a.rate || 0)) : all;
}

function ingress() {
  const refused = rate("events_refused");
  return node("ingress", refused > 0 ? "warn" : moving(rate("events_received")), "HTTP", null, big(rate("events_received")),
    refused > 0 ? `${perSecond(refused)} refused` : "none refused");
}

const journal = ({ journal: { unsettled, bytes: size, writable } }) =>
  node("journal", writable?.Err ? "bad" : "ok", "Journal", null,
    writable?.Err ? health("bad", "cannot write") : health("ok", "durable"), `${count(unsettled)} unsettled`, lag(), `${bytes(size)} kept`);

function lag() {
  const oldest = metrics.now("stagewire_journal_oldest_unsettled_seconds");
  return oldest > 0 && `oldest ${seconds(oldest)}`;
}

function routeNode({ name, rate: matched }, { steps }) {
  const own = steps.filter((step) => step.route === name);
  return h("li", { class: "lineup", "data-key": `route-${name}` },
    h("div", { class: `node ${moving(matched)}`, "data-node": `route-${name}` }, h("p", { class: "name" }, h("a", { href: "#/routes" }, name)), h("p", null, big(matched))),
    own.length > 0 && h("ol", { class: "steps", "aria-label": `Steps of ${name}` }, own.map(stepNode)));
}

function stepNode({ route, step, plugin, digest: version, suspended, shadow, canary }) {
  // A candidate beside the step counts under the same route and place.
  const labels = { route, step, plugin };
  const [kept, dropped, failed] = ["plugin_kept", "plugin_dropped", "plugin_failed"].map((name) => rate(name, labels));
  const kind = failed > 0 ? "bad" : suspended ? "warn" : moving((kept || 0) + (dropped || 0));
  return node(`step-${route}-${step}`, kind, plugin, "#/plugins",
    h("span", { title: version, class: "quiet" }, digest(version).slice(0, 8)),
    suspended && health("warn", "suspended"), [big(kept), kept !== undefined && " kept"], dropped > 0 && `${perSecond(dropped)} dropped`, failed > 0 && health("bad", `${perSecond(failed)} fail`),
    shadow && `shadow ${shadow.plugin}: ${count(shadow.differed)} differ`, canary && `canary ${canary.plugin}: ${canary.percent} %`);
}

function unmatched() {
  const none = rate("events_unmatched");
  return none > 0 && node("unmatched", "warn", "no route", null, big(none), "matched by no rule");
}

const rest = (n) => n > 0 && node("more-routes", "idle", `${count(n)} more`, "#/routes", "less busy");

function lane(one) {
  const { name, queued, overflow_bytes: overflow, full } = one;
  const kind = full ? "warn" : overflow > 0 ? "warn" : laneHealth(one)[0];
  return node(`lane-${name}`, kind, name, "#/backends", `${count(queued)} queued`,
    overflow > 0 ? `${bytes(overflow)} on disk` : "nothing on disk", full && health("warn", "full: waits in the journal"));
}

function backend(one) {
  const [kind, word] = laneHealth(one);
  const p99 = metrics.quantile("stagewire_publish_latency_seconds", { backend: one.name }, 0.99);
  return node(`backend-${one.name}`, kind, h("span", { class: "address", title: one.address }, breakable(one.address)), null,
    health(kind, word), [big(rate("events_published", { backend: one.name })), p99 !== undefined && ` · p99 ${seconds(p99)}`],
    ...(one.consumers || []).map(({ name, lag, error }) => (error ? health("warn", `${name}: not known`) : lag > 0 && `${name} is ${count(lag)} behind`)));
}

/** Which nodes a line connects, how much goes along it, and how well. */
function linksOf({ steps, lanes }, routes) {
  const found = [["ingress", "journal", rate("events_received"), "ok"]];
  for (const { name, rate: matched, deliver } of routes) {
    let from = `route-${name}`;
    found.push(["journal", from, matched, "ok"]);
    let flows = matched;
    for (const { step, plugin } of steps.filter(({ route }) => route === name)) {
      const to = `step-${name}-${step}`;
      found.push([from, to, flows, "ok"]);
      from = to;
      flows = rate("plugin_kept", { route: name, step, plugin });
    }
    for (const lane of lanes) {
      // `hook[0]` and `hook[1]` are lanes of the backend `hook`.
      const base = lane.name.replace(/\[\d+\]$/, "");
      const known = deliver || (lanes.length === 1 && [lane.name]);
      // Where a host does not tell who delivers where, nothing is claimed.
      if (!known) found.push([from, `lane-${lane.name}`, undefined, "idle"]);
      else if (known.includes(base) || known.includes(lane.name)) found.push([from, `lane-${lane.name}`, flows, laneHealth(lane)[0]]);
    }
  }
  for (const lane of lanes) {
    const published = rate("events_published", { backend: lane.name });
    found.push([`lane-${lane.name}`, `backend-${lane.name}`, published, laneHealth(lane)[0]]);
  }
  return found;
}

const watcher = new ResizeObserver(() => connect());
let watched = null;

/** Draws the lines where the nodes are now. */
export function connect() {
  const flow = document.getElementById("flow");
  if (!flow) return;
  if (watched !== flow) {
    watcher.disconnect();
    watcher.observe(flow);
    watched = flow;
  }
  const lines = document.getElementById("flow-links");
  if (getComputedStyle(lines).display === "none") return;
  const origin = flow.getBoundingClientRect();
  const boxes = new Map([...flow.querySelectorAll("[data-node]")].map((one) => [one.dataset.node, one.getBoundingClientRect()]));
  lines.setAttribute("viewBox", `0 0 ${origin.width} ${origin.height}`);
  // Steps that stand below their route need no line.
  const drawn = links.filter(([from, to]) => boxes.get(from)?.right < boxes.get(to)?.left);
  show(lines, drawn.map(([from, to, n, kind]) => link(boxes.get(from), boxes.get(to), origin, n, kind)));
}

function link(from, to, origin, n, kind) {
  const [x1, y1] = [from.right - origin.left, from.top + from.height / 2 - origin.top];
  const [x2, y2] = [to.left - origin.left, to.top + to.height / 2 - origin.top];
  // Straight past what stands between, then over to the other.
  const turn = Math.max(x1, x2 - TURN);
  const bend = Math.max(8, (x2 - turn) / 2);
  const d = `M${x1} ${y1}H${turn}C${turn + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  const width = n > 0 ? Math.min(9, 1.5 + Math.log10(1 + n) * 1.8) : 1;
  return svg("path", { d, class: n > 0 ? kind : kind === "bad" ? "bad still" : "still", "stroke-width": width.toFixed(1) });
}

export function leave() {
  watcher.disconnect();
  watched = null;
}
