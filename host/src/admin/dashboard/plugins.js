// Plugins: versions, what their steps do and need, candidates beside them; promote and roll back.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count, digest, perSecond, seconds } from "./format.js";
import * as metrics from "./metrics.js";
import { button, empty, failure, figures, health, moment, panel, table, version } from "./parts.js";

const plugins = new api.Source("/api/v1/plugins", 5_000);
let generation = 0;

/** Where a host has no list of plugins its status names them. */
const known = (status) => plugins.data || status.plugins;

// A candidate beside the step counts under the same route and place.
const labels = ({ route, step, plugin }) => ({ route, step, plugin });
const total = (name, step) => metrics.now(`stagewire_plugin_${name}_total`, labels(step));
const lately = (name, step) => metrics.rate(`stagewire_plugin_${name}_total`, labels(step));

const call = (step, q) => seconds(metrics.quantile("stagewire_plugin_call_seconds", labels(step), q));

function verdicts(step) {
  const cell = (name) => {
    const rate = lately(name, step);
    return [count(total(name, step)), rate !== undefined && h("span", { class: "quiet" }, ` ${perSecond(rate)}`)];
  };
  const failed = total("failed", step);
  return [cell("kept"), cell("dropped"), failed ? h("strong", { class: "bad" }, cell("failed")) : cell("failed"), count(total("traps", step))];
}

const STEPS = [
  { name: "Route" }, { name: "Step", kind: "number" }, { name: "Kept", kind: "number" }, { name: "Dropped", kind: "number" }, { name: "Failed", kind: "number" },
  { name: "Traps", kind: "number" }, { name: "Call p50", kind: "number" }, { name: "Call p99", kind: "number" }, { name: "Time limit", kind: "number" }, { name: "Memory, of", kind: "number" }, { name: "State", kind: "number" }, { name: "Replaced", kind: "number" },
];

const stepRow = (step) => ({
  key: `step-${step.route}-${step.step}`,
  cells: [step.route, step.step + 1, ...verdicts(step), call(step, 0.5), call(step, 0.99), `${step.limits.time_ms} ms`, `${bytes(step.memory)} / ${bytes(step.limits.memory)}`, step.state === null ? "none" : bytes(step.state), count(step.replaced)],
});

const VERSIONS = [{ name: "Version" }, { name: "Last in force", kind: "time" }, { name: "Size", kind: "number" }, { name: "State" }];

const versionRow = ({ name, digest: current }) => ({ digest: one, since_ms: since, size }) => ({
  key: `version-${one}`,
  class: one === current ? "current" : null,
  cells: [
    version(one), moment(since), bytes(size),
    one === current ? health("ok", "in force") : button("Roll back", "rollback", { "data-plugin": name, "data-to": one, "aria-label": `Roll back ${name} to ${digest(one)}` }),
  ],
});

const DIFFERENCES = [{ name: "Id" }, { name: "Source" }, { name: "Current" }, { name: "Candidate" }];

function shadowOf({ route, step, plugin, shadow }) {
  const percent = (100 * shadow.differed) / (shadow.compared || 1);
  const share = percent > 0 ? ` (${percent < 0.1 ? "< 0.1" : percent.toFixed(1)} %)` : "";
  const rows = [...shadow.differences].reverse().slice(0, 20).map(({ id, source, current, candidate }, index) =>
    ({ key: `difference-${index}`, cells: [h("a", { href: `#/events/${encodeURIComponent(id)}` }, id), source, current, candidate] }));
  return h("div", { class: "candidate", "data-key": `shadow-${route}-${step}` },
    h("header", null,
      h("h3", null, "In the shadow: ", shadow.plugin, " ", version(shadow.digest)),
      button("Promote", "promote", { "data-plugin": plugin, "data-from": shadow.plugin, "aria-label": `Promote ${shadow.plugin} to ${plugin}` })),
    figures([["Route", route], ["Compared", count(shadow.compared)], ["Differ", [count(shadow.differed), share], shadow.differed ? "warn" : null], ["Left out", count(shadow.left_out)]]),
    rows.length ? table("The latest differences", DIFFERENCES, rows, { class: "rows" }) : h("p", { class: "quiet" }, shadow.compared ? "No difference so far." : "Nothing compared so far."));
}

const canaryOf = ({ route, step, plugin, canary }) =>
  h("div", { class: "candidate", "data-key": `canary-${route}-${step}` },
    h("header", null,
      h("h3", null, "Canary: ", canary.plugin, " ", version(canary.digest)),
      button("Promote", "promote", { "data-plugin": plugin, "data-from": canary.plugin, "aria-label": `Promote ${canary.plugin} to ${plugin}` })),
    figures([["Route", route], ["Share of the keys", `${canary.percent} %`], ["Events", count(canary.events)]]));

/** Why a step failed or dropped an event last, in the plugin's or the host's words. */
const said = (kind, what, key, { route, step }, last) =>
  last && h("div", { class: `notice ${kind}`, "data-key": `${key}-${route}-${step}` },
    h("p", { class: "title" }, `${what} last at `, moment(last.at_ms), ` in step ${step + 1} of ${route}`), h("pre", null, last.reason));
const failureOf = (step) => said("bad", "Failed", "failure", step, step.last_failure);
const dropOf = (step) => said("idle", "Dropped", "drop", step, step.last_drop);

const BECOMES = { dead_letter: "become dead letters", retry: "are tried again, then become dead letters", drop: "are dropped", pass: "go on without it" };

/** What a suspended plugin's events become, by its steps' own words. */
const becomes = (steps) => [...new Set(steps.map(({ on_error: onError }) => BECOMES[onError] || onError))].join(", or ");

function tools({ name, digest: current, description, suspended }) {
  const [verb, act] = suspended ? ["Resume", "resume"] : ["Suspend", "suspend"];
  return [suspended && health("warn", "suspended"), description?.version && h("span", { class: "quiet" }, `version ${description.version}`), version(current),
    suspended !== undefined && button(verb, act, { "data-plugin": name, "aria-label": `${verb} ${name}` })];
}

function card(plugin, { steps }) {
  const own = steps.filter(({ plugin: name }) => name === plugin.name);
  const { description, kind, needs, versions, from } = plugin;
  return panel(plugin.name, { id: `plugin-${plugin.name}`, tools: tools(plugin) },
    plugin.suspended && h("p", { class: "notice warn" }, `It is not called until somebody resumes it: the events of its steps ${becomes(own)}.`),
    description?.description && h("p", null, description.description),
    kind && h("p", { class: "quiet" }, `${kind}; ${needs.length ? `needs ${needs.join(", ")}` : "needs no grant"}`),
    from && h("p", { class: "quiet" }, "From ", h("code", null, from)),
    own.length > 0 ? table("What its steps did", STEPS, own.map(stepRow), { class: "rows" }) : h("p", { class: "quiet" }, "No route has a step of it; it stands beside another, or waits."),
    own.map(failureOf), own.map(dropOf),
    own.filter(({ shadow }) => shadow).map(shadowOf), own.filter(({ canary }) => canary).map(canaryOf),
    versions?.length > 0 && table("Kept versions", VERSIONS, versions.map(versionRow(plugin)), { class: "rows snug" }));
}

/** Puts another version in force, or says why the host refused it. */
async function swap(path, done, { say, refresh }) {
  try {
    const { generation } = await api.post(path);
    say(`${done} Generation ${generation} is in force.`);
  } catch (problem) {
    if (problem.status !== 422) throw problem;
    say(`Refused: ${problem.message}`, "bad");
  }
  plugins.stale();
  await refresh();
}

export default {
  path: "plugins",
  title: "Plugins",
  async load({ status, redraw }) {
    if (generation !== status.generation) plugins.stale();
    generation = status.generation;
    await plugins.refresh();
    redraw();
  },
  view({ status }) {
    const all = known(status);
    return [
      plugins.problem && !plugins.unsupported && failure(plugins.problem, "The plugins cannot be listed"),
      all.length ? all.map((plugin) => card(plugin, status)) : empty("No plugin is in force", "A route's steps name plugins; their files lie in plugins.directory."),
    ];
  },
  actions: {
    async suspend({ dataset: { plugin } }, context) {
      const own = context.status.steps.filter(({ plugin: name }) => name === plugin);
      const text = `It is called no more, nor is a later version of it, until it is resumed or the host ends. Meanwhile its events ${becomes(own)}.`;
      if (!(await context.confirm({ title: `Suspend ${plugin}?`, text, yes: "Suspend" }))) return;
      plugins.data = await api.post(`/api/v1/plugins/${encodeURIComponent(plugin)}/suspend`);
      context.say(`${plugin} is suspended.`);
      await context.refresh();
    },
    async resume({ dataset: { plugin } }, { say, refresh }) {
      plugins.data = await api.post(`/api/v1/plugins/${encodeURIComponent(plugin)}/resume`);
      say(`${plugin} is called again.`);
      await refresh();
    },
    async rollback({ dataset: { plugin, to } }, context) {
      const text = `Its file is replaced by version ${digest(to)}, which takes effect at once for new events; events under way end on the one in force now.`;
      if (!(await context.confirm({ title: `Roll ${plugin} back?`, text, yes: "Roll back" }))) return;
      await swap(`/api/v1/plugins/${encodeURIComponent(plugin)}/rollback${api.query({ to })}`, `${plugin} is back at ${digest(to)}.`, context);
    },
    async promote({ dataset: { plugin, from } }, context) {
      const text = `The file of ${plugin} is replaced by that of ${from}. The version in force now is kept, so you can roll back.`;
      if (!(await context.confirm({ title: `Promote ${from}?`, text, yes: "Promote" }))) return;
      await swap(`/api/v1/plugins/${encodeURIComponent(plugin)}/promote${api.query({ from })}`, `${from} is now ${plugin}.`, context);
    },
  },
};
