// Small charts in SVG. Each has its meaning in words, too.

import { h, svg } from "./dom.js";
import { clock, rate, span } from "./format.js";

const WIDTH = 240;

/** Fewer points than pixels: the highest of each group, so that no peak is hidden. */
function condensed(points, most = WIDTH / 2) {
  const size = Math.ceil(points.length / most) || 1;
  if (size === 1) return points;
  // Groups are counted from the end of the series' own time, so that a chart does not flicker.
  const start = points.length % size;
  const groups = start ? [Math.max(...points.slice(0, start))] : [];
  for (let at = start; at < points.length; at += size) groups.push(Math.max(...points.slice(at, at + size)));
  return groups;
}

const round = (n) => Math.round(n * 100) / 100;

function line(points, height, top) {
  const x = (index) => round((index / Math.max(1, points.length - 1)) * WIDTH);
  const y = (value) => round(height - 1 - (value / (top || 1)) * (height - 3));
  return points.map((value, index) => `${index ? "L" : "M"}${x(index)} ${y(value)}`).join("");
}

const summary = (label, points, unit, covers) =>
  `${label}: now ${rate(points.at(-1) || 0)}${unit}, at most ${rate(Math.max(0, ...points))}${unit} in the last ${covers}`;

/** A line without axes, beside a figure. */
export function spark(label, { points, interval_ms }, unit = "") {
  const few = condensed(points);
  const covers = span((points.length * interval_ms) / 1000);
  const d = few.length > 1 ? line(few, 32, Math.max(...few)) : "M0 31H240";
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} 32`, preserveAspectRatio: "none", role: "img", "aria-label": summary(label, points, unit, covers) },
    svg("path", { class: "area", d: `${d}V32H0Z` }),
    svg("path", { class: "line", d }));
}

/** Lines over a common time with their scale. `lines` are { label, kind, series }. */
export function chart(title, lines, unit = "") {
  const each = lines.map(({ label, kind, series }) => ({ label, kind, series, few: condensed(series.points) }));
  const top = nice(Math.max(0, ...each.flatMap(({ few }) => few)));
  const { points, interval_ms, end_ms } = each[0].series;
  const covers = (points.length * interval_ms) / 1000;
  const words = each.map(({ label, series }) => summary(label, series.points, unit, span(covers))).join("; ");
  return h("figure", { class: "chart" },
    h("figcaption", null, h("span", { class: "title" }, `${title}, 0 to ${rate(top)}${unit}`), each.length > 1 && h("span", { class: "legend" }, each.map(({ label, kind }) => h("span", { class: kind }, label)))),
    h("div", { class: "plot" },
      points.length < 2
        ? h("p", { class: "quiet" }, "Waiting for a second point.")
        : svg("svg", { viewBox: `0 0 ${WIDTH} 96`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}. ${words}` },
            svg("path", { class: "grid", d: "M0 1H240M0 48H240M0 95H240" }),
            each.map(({ few, kind }) => svg("path", { class: `line ${kind || ""}`, d: line(few, 96, top) })))),
    h("p", { class: "times", "aria-hidden": "true" }, h("span", null, end_ms ? clock(end_ms - covers * 1000) : ""), h("span", null, end_ms ? clock(end_ms) : "")));
}

/** The next round number: 1, 2 or 5 times a power of ten. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}
