// Numbers, times and names for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

export const count = (n) => (n === undefined || n === null ? "–" : whole.format(n));
export const rate = (n) => {
  if (n === undefined || n === null || Number.isNaN(n)) return "–";
  return n > 0 && n < 10 ? fine.format(n) : whole.format(n);
};
/** Two looks make a rate: after the first there is none. */
export const perSecond = (n) => (n === undefined || Number.isNaN(n) ? "measuring…" : `${rate(n)}/s`);

export function bytes(n) {
  if (n === undefined || n === null) return "–";
  const unit = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = n < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** step;
  return `${step && value < 10 ? value.toFixed(1) : whole.format(value)} ${unit[step]}`;
}

export function seconds(s) {
  if (s === undefined || s === null || Number.isNaN(s)) return "–";
  if (s === Infinity) return "> 30 s";
  if (s < 0.001) return `${whole.format(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? (s * 1e3).toFixed(1) : whole.format(s * 1e3)} ms`;
  return s < 10 ? `${s.toFixed(1)} s` : span(s);
}

/** A length of time: `3 min`, `2 h 5 min`. */
export function span(s) {
  const part = (n, unit) => (n ? `${n} ${unit}` : "");
  const [d, hours, min] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${min} min`;
  if (s < 86_400) return `${part(hours, "h")} ${part(min, "min")}`.trim();
  return `${part(d, "d")} ${part(hours, "h")}`.trim();
}

const pad = (n, to = 2) => String(n).padStart(to, "0");
export const clock = (ms) => {
  const t = new Date(ms);
  return `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`;
};
export const date = (ms) => {
  const t = new Date(ms);
  const day = `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}`;
  return day === date.today() ? clock(ms) : `${day} ${clock(ms)}`;
};
date.today = () => {
  const t = new Date();
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}`;
};
export const iso = (ms) => new Date(ms).toISOString();
export const ago = (ms) => span(Math.max(0, (Date.now() - ms) / 1000));

/** Enough of a digest to tell versions apart; the whole stands in its title. */
export const digest = (text) => (text || "").replace(/^sha256:/, "").slice(0, 12);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
