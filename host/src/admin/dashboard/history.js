// The host's own hour of history; where a host keeps none, what was seen since this page was opened.

import * as api from "./api.js";
import * as metrics from "./metrics.js";

const FRESH_MS = 5_000;
const OWN_MS = 2_000;
const OWN_POINTS = 1_800;

let kept = null;
let asked = 0;
const own = { interval_ms: OWN_MS, end_ms: 0, series: {} };

/** Asks again once there can be a new point. */
export async function refresh() {
  if (Date.now() - asked < FRESH_MS) return;
  asked = Date.now();
  try {
    kept = await api.get("/api/v1/history");
  } catch (problem) {
    // A host that has none gets none within the hour either; any other failure shows in the status.
    if (problem.unsupported) asked += 60 * 60_000;
  }
}

/** Notes what the last sample shows, while the host keeps no history. */
export function note(status) {
  const received = metrics.rate("stagewire_events_received_total");
  if (kept || received === undefined) return;
  const add = (name, value) => {
    own.series[name] ??= [];
    own.series[name].push(value ?? 0);
    if (own.series[name].length > OWN_POINTS) own.series[name].shift();
  };
  own.end_ms = Date.now();
  add("received", received);
  add("dropped", metrics.dropped());
  add("unsettled", status.journal.unsettled);
  for (const { name, queued } of status.lanes) {
    add(`published/${name}`, metrics.rate("stagewire_events_published_total", { backend: name }));
    add(`failures/${name}`, metrics.rate("stagewire_publish_failures_total", { backend: name }));
    add(`queued/${name}`, queued);
  }
}

/** Points of a series, oldest first, and what they cover. */
export function series(name) {
  const { interval_ms, end_ms, series: all } = kept || own;
  // Null is where there was nothing yet.
  return { name, points: (all[name] || []).map((point) => point ?? 0), interval_ms, end_ms };
}

/** Whether there is such a series. */
export const has = (name) => name in (kept || own).series;

/** Every backend's series of that kind, added up. */
export function total(kind) {
  const { series: all } = kept || own;
  const each = Object.keys(all).filter((name) => name.startsWith(`${kind}/`)).map(series);
  const length = Math.max(0, ...each.map(({ points }) => points.length));
  const at = (points, index) => points[index - (length - points.length)] || 0;
  const points = Array.from({ length }, (_, index) => each.reduce((sum, one) => sum + at(one.points, index), 0));
  return { ...(each[0] || series(kind)), name: kind, points };
}
