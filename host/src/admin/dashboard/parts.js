// What several pages are made of.

import { h } from "./dom.js";
import { date, digest, iso } from "./format.js";

/** A state as colour, shape and word. */
export const health = (kind, word, attributes = {}) => h("span", { class: `health ${kind}`, ...attributes }, word);

export const panel = (title, { id, tools, level = 2, ...attributes } = {}, ...content) =>
  h("section", { class: "panel", "data-key": id, "aria-labelledby": id && `${id}-title`, ...attributes },
    h("header", null, h(`h${level}`, { id: id && `${id}-title` }, title), tools && h("div", { class: "tools" }, tools)),
    ...content);

/** Pairs of a name and a figure. */
export const figures = (pairs, attributes = {}) =>
  h("dl", { class: "figures", ...attributes },
    pairs.filter(Boolean).map(([name, value, more]) => h("div", more ? { class: more } : null, h("dt", null, name), h("dd", null, value))));

export const empty = (title, ...text) => h("div", { class: "empty" }, h("p", { class: "title" }, title), ...text.map((one) => h("p", null, one)));

export const failure = (problem, what) =>
  h("div", { class: "notice bad", role: "alert" }, h("p", { class: "title" }, what),
    problem.problems.length ? problem.problems.map((text) => h("pre", null, text)) : h("p", null, problem.message));

export const unsupported = (what) => empty(`This host does not show ${what} yet`, "A newer version of stagewire does.");

export const button = (label, act, attributes = {}) => h("button", { type: "button", "data-act": act, ...attributes }, label);

export const version = (text) => h("code", { class: "digest", title: text }, digest(text));

export const moment = (ms) => h("time", { datetime: iso(ms), title: iso(ms) }, date(ms));

/** A table whose cells carry their column's name, for narrow screens. */
export const table = (caption, columns, rows, attributes = {}) =>
  h("table", attributes,
    h("caption", null, caption),
    h("thead", null, h("tr", null, columns.map(({ name, kind }) => h("th", { scope: "col", class: kind }, name)))),
    h("tbody", null, rows.map(({ key, cells, ...more }) =>
      h("tr", { "data-key": key, ...more }, cells.map((cell, index) =>
        h("td", { "data-name": typeof columns[index].name === "string" ? columns[index].name : undefined, class: columns[index].kind }, cell))))));

export const field = (label, name, attributes = {}) =>
  h("label", { class: "field" }, h("span", null, label), h("input", { name, autocomplete: "off", spellcheck: "false", ...attributes }));
