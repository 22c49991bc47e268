// Human-readable figures. Times are in the shown zone.
import { zoned } from "./zone.js";

const COUNT = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (value === null || value === undefined ? "–" : COUNT.format(value));
export const compact = (value) => (value === null ? "–" : COMPACT.format(value));
export const clock = (ms) => zoned(ms).slice(11, 19);
export const stamp = (ms) => zoned(ms).slice(0, 19).replace("T", " ");

/** Format a time in ISO text, in UTC, with all of its digits. */
export function when(text) {
  const fraction = (/\.\d+/.exec(text)?.[0] ?? "").replace(/\.?0+$/, "");
  return `${stamp(Date.parse(text))}${fraction}`;
}

/** @param digits decimals of less than ten seconds */
export function duration(ms, digits = 1) {
  if (ms === null || ms === undefined) return "–";
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(digits)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}

/** Format a bar on one line, with its begin as precise as the step between bars needs. */
export function legend({ ts, open, high, low, close, volume, ticks }, step) {
  const begin = step === 86400 ? new Date(ts * 1000).toISOString().slice(0, 10) : stamp(ts * 1000).slice(5, step < 60 ? 19 : 16);
  const prices = `O ${open}  H ${high}  L ${low}  C ${close}`;
  return `${begin}  ${prices}  V ${compact(volume)}  ${ticks} tick${ticks === 1 ? "" : "s"}`;
}

export function cell(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Group the digits of a number before its point, whether it came as a number or, to be exact, as text. */
export function grouped(value) {
  const text = cell(value);
  const [, sign, whole, rest] = /^(-?)(\d+)(\.\d+)?$/.exec(text) ?? [];
  return whole === undefined ? text : `${sign}${whole.replace(/\B(?=(\d{3})+$)/g, ",")}${rest ?? ""}`;
}

export const signed = (text) => (text.startsWith("-") ? `−${text.slice(1)}` : `+${text}`);
export const direction = (text) => (/[1-9]/.test(text) ? (text.startsWith("-") ? "down" : "up") : "flat");
