// Dead letters: filter, inspect, retry, drop.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, plural } from "./format.js";
import { button, empty, failure, field, figures, moment, panel } from "./parts.js";

const PAGE = 50;
const EVERY_MS = 4_000;

const state = { letters: null, problem: null, fields: {}, after: [0], chosen: new Set(), due: 0 };

const after = () => state.after.at(-1);

async function load() {
  const page = { ...state.fields, after: after(), limit: PAGE };
  state.due = Date.now() + EVERY_MS;
  try {
    state.letters = await api.get(`/api/v1/dead-letters${api.query(page)}`);
    state.problem = null;
    const there = new Set(state.letters.map(({ id }) => id));
    for (const id of state.chosen) if (!there.has(id)) state.chosen.delete(id);
  } catch (problem) {
    state.problem = problem;
  }
}

const placeOf = ({ backend, step, plugin }) => (backend ? ["backend ", h("strong", null, backend)] : ["step ", String(step + 1), ", ", h("strong", null, plugin)]);

function letter(one) {
  const { id, reason, route, place, tries, first_at_ms: first, at_ms: at, event } = one;
  const { data, data_base64: base64, ...attributes } = event;
  const shown = data === undefined ? base64 : typeof data === "string" ? data : JSON.stringify(data, null, 2);
  return h("li", { class: "letter", "data-key": `letter-${id}` },
    h("div", { class: "head" },
      h("input", { type: "checkbox", "data-act": "choose", "data-id": id, "aria-label": `Choose letter ${id}` }),
      h("div", null,
        h("p", { class: "reason" }, reason),
        h("p", { class: "quiet" }, h("a", { href: `#/events/${encodeURIComponent(event.id)}` }, event.id), ` · ${event.type} · at `, placeOf(place), route && ` · route ${route}`, ` · ${plural(tries, "try", "tries")} · `, moment(at))),
      h("div", { class: "buttons" }, button("Retry", "retry", { "data-id": id, "aria-label": `Retry letter ${id}` }), button("Drop", "drop", { "data-id": id, "aria-label": `Drop letter ${id}` }))),
    h("details", null, h("summary", null, "Inspect"),
      figures([["Number", id], ["First tried", moment(first)], ["Given up", moment(at)], place.digest && ["Plugin version", h("code", null, place.digest)]]),
      h("pre", { role: "group", tabindex: "0", "aria-label": "Attributes" }, JSON.stringify(attributes, null, 2)),
      shown !== undefined && h("details", null, h("summary", null, "Show the data"), h("pre", { role: "group", tabindex: "0", "aria-label": "Data" }, shown))));
}

const filters = () =>
  h("form", { class: "filters", "data-act": "filter", "data-key": "filters" },
    field("Reason contains", "reason"), field("Backend", "backend"), field("Route", "route"), field("Type", "type"), field("Number or event id", "id"),
    h("label", { class: "field" }, h("span", null, "Given up"), h("select", { name: "since" },
      [["", "at any time"], ["3600", "in the last hour"], ["86400", "in the last day"], ["604800", "in the last week"]].map(([value, text]) => h("option", { value }, text)))),
    h("div", { class: "buttons" }, h("button", { class: "primary" }, "Filter"), h("button", { type: "reset", "data-act": "clear" }, "Clear")));

function tools(letters) {
  const chosen = state.chosen.size;
  return [
    chosen > 0 && button(`Retry ${count(chosen)} chosen`, "retry-chosen"), chosen > 0 && button(`Drop ${count(chosen)} chosen`, "drop-chosen"),
    chosen === 0 && letters.length > 0 && button("Retry all that match", "retry-all"),
  ];
}

function list(context) {
  const { letters, problem } = state;
  if (problem) return failure(problem, "The dead letters cannot be read");
  if (!letters) return h("p", { class: "quiet" }, "Reading…");
  if (letters.length) return h("ol", { class: "letters", "aria-label": "Dead letters" }, letters.map(letter));
  return context.status.dead_letters > 0
    ? empty("No letter matches", `${plural(context.status.dead_letters, "letter")} in all.`)
    : empty("No dead letter", "Every event was delivered, was dropped by a rule, or is still under way.");
}

const pages = () =>
  (state.after.length > 1 || state.letters?.length === PAGE) &&
  h("div", { class: "buttons pages" }, button("Earlier page", "back", { disabled: state.after.length === 1 }), button("Next page", "next", { disabled: state.letters?.length !== PAGE }));

// What is done

const one = (id) => api.query({ after: id - 1, until: id });
const whole = (verb, query) => api.post(`/api/v1/dead-letters/${verb}${query}`);

/** One request after the other, so that a host is asked no more than it can do. */
async function each(verb, ids) {
  const all = { done: 0, matched: 0, refused: [] };
  for (const id of ids) {
    const { done, matched, refused } = await whole(verb, one(id));
    all.done += done;
    all.matched += matched;
    all.refused.push(...refused);
  }
  return all;
}

async function told(verb, { done, matched, refused }, context) {
  const what = verb === "retry" ? "on the way again" : "dropped";
  const stays = refused.slice(0, 3).map(({ id, reason }) => ` Letter ${id} stays: ${reason}.`).join("");
  const says = matched ? `${count(done)} of ${count(matched)} ${what}.${stays}` : "It is not there any more.";
  context.say(says, refused.length ? "bad" : "ok");
  state.chosen.clear();
  document.querySelectorAll('[data-act="choose"]').forEach((box) => (box.checked = false));
  await load();
  await context.refresh();
}

const drop = (n, { confirm }) => confirm({ title: `Drop ${plural(n, "letter")}?`, text: "They are gone for good: nothing delivers them any more.", yes: "Drop" });

export default {
  path: "dead-letters",
  mark: "letters",
  title: "Dead letters",
  titleOf: (number) => `Dead letter ${number}`,
  enter({ rest }) {
    Object.assign(state, { fields: rest ? { id: rest } : {}, after: [0], letters: null, due: 0 });
  },
  async load({ redraw }) {
    if (Date.now() >= state.due) await load();
    redraw();
  },
  view: (context) => [
    context.rest ? h("p", { "data-key": "back" }, h("a", { href: "#/dead-letters" }, "All dead letters")) : filters(),
    panel("Kept until you act", { id: "letters", tools: tools(state.letters || []) }, list(context), pages()),
  ],
  actions: {
    async filter(form) {
      const { since, ...fields } = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
      Object.assign(state, { fields: { ...fields, since_ms: since ? Date.now() - since * 1000 : "" }, after: [0] });
      await load();
    },
    async clear() {
      Object.assign(state, { fields: {}, after: [0] });
      await load();
    },
    async next() {
      state.after.push(state.letters.at(-1).id);
      await load();
    },
    async back() {
      state.after.pop();
      await load();
    },
    choose: (box) => void (box.checked ? state.chosen.add(Number(box.dataset.id)) : state.chosen.delete(Number(box.dataset.id))),
    retry: async ({ dataset: { id } }, context) => told("retry", await each("retry", [Number(id)]), context),
    "retry-chosen": async (_, context) => told("retry", await each("retry", [...state.chosen]), context),
    async "retry-all"(_, context) {
      const query = api.query({ ...state.fields, dry_run: true });
      const { matched } = await whole("retry", query);
      const text = "Each is tried again where it failed; those that fail again come back here.";
      if (!(await context.confirm({ title: `Retry ${plural(matched, "letter")}?`, text, yes: "Retry" }))) return;
      await told("retry", await whole("retry", api.query(state.fields)), context);
    },
    async drop({ dataset: { id } }, context) {
      if (await drop(1, context)) await told("drop", await each("drop", [Number(id)]), context);
    },
    async "drop-chosen"(_, context) {
      if (await drop(state.chosen.size, context)) await told("drop", await each("drop", [...state.chosen]), context);
    },
  },
};
