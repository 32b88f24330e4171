// Rates and latencies from the host's own counters: the last minute of samples, one every two seconds.

const KEPT = 31;
/** Rates are taken over this time, so that they can be read. */
const SMOOTH_MS = 8_000;
// What stands behind the value, an exemplar, is left alone.
const LINE = /^([a-z_]+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? ([^ ]+)/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

const samples = [];

/** The host's own rates, for a page that has no two samples yet. */
let hosts = null;
const OF_HOST = {
  stagewire_events_received_total: (rates) => rates.received,
  stagewire_events_refused_total: (rates) => rates.refused,
  stagewire_events_unmatched_total: (rates) => rates.unmatched,
  stagewire_events_published_total: (rates, { backend }) => (backend ? rates.lanes[backend]?.published : rates.published),
  stagewire_publish_failures_total: (rates, { backend }) => (backend ? rates.lanes[backend]?.failures : rates.failures),
  stagewire_route_matches_total: (rates, { route }) => rates.routes[route],
};

/** OpenMetrics text as name → [{ labels, value }]. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const [, name, inner, value] = LINE.exec(line) || [];
    if (!name) continue;
    const labels = {};
    for (const [, key, raw] of (inner || "").matchAll(LABEL)) {
      labels[key] = raw.includes("\\") ? raw.replace(/\\[n"\\]/g, (two) => ESCAPED[two]) : raw;
    }
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: Number(value) });
  }
  return found;
}

export function note(text, rates, at = Date.now()) {
  // A host that has just started has none either.
  hosts = rates?.seconds ? rates : null;
  const sample = { at, found: parse(text) };
  const before = samples.at(-1);
  // Another process of the host counts from nothing.
  if (before && sum(before, "stagewire_events_received_total") > sum(sample, "stagewire_events_received_total")) {
    samples.length = 0;
  }
  samples.push(sample);
  if (samples.length > KEPT) samples.shift();
}

const matching = (sample, name, labels = {}) =>
  (sample?.found.get(name) || []).filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === String(value)));
const sum = (sample, name, labels) => matching(sample, name, labels).reduce((all, one) => all + one.value, 0);

/** The value now, of all samples of that name with these labels. */
export const now = (name, labels) => sum(samples.at(-1), name, labels);

/** Each second, lately; undefined while that is not known. */
export function rate(name, labels = {}) {
  const last = samples.at(-1);
  const before = samples.findLast((sample) => sample.at <= last.at - SMOOTH_MS) || samples[0];
  if (!last || before === last) return hosts ? OF_HOST[name]?.(hosts, labels) : undefined;
  return Math.max(0, sum(last, name, labels) - sum(before, name, labels)) / ((last.at - before.at) / 1000);
}

/** Dropped by rules and plugins, each second. */
export function dropped() {
  const parts = ["stagewire_events_dropped_total", "stagewire_plugin_dropped_total"].map((name) => rate(name));
  return parts.includes(undefined) ? hosts?.dropped : parts[0] + parts[1];
}

/** The q-quantile of a histogram over the last minute; over all time where nothing came in that minute. */
export function quantile(name, labels, q) {
  const [last, first] = [samples.at(-1), samples[0]];
  const counts = (from) =>
    matching(last, `${name}_bucket`, labels).map(({ labels: own, value }) => ({
      upTo: own.le === "+Inf" ? Infinity : Number(own.le),
      n: value - (from ? sum(from, `${name}_bucket`, own) : 0),
    }));
  let buckets = counts(first);
  if (!buckets.at(-1)?.n) buckets = counts(null);
  const all = buckets.at(-1)?.n;
  if (!all) return undefined;
  const index = buckets.findIndex(({ n }) => n >= q * all);
  const [low, high] = [buckets[index - 1] || { upTo: 0, n: 0 }, buckets[index]];
  if (high.upTo === Infinity) return Infinity;
  return low.upTo + ((high.upTo - low.upTo) * (q * all - low.n)) / (high.n - low.n || 1);
}

/** Label values that a metric has. */
export const values = (name, label) => [...new Set(matching(samples.at(-1), name).map(({ labels }) => labels[label]))];
