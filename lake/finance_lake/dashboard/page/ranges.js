// Which part of the history the chart shows: a named range up to now, so many newest bars, or from one time to another.
import { byId, element } from "./dom.js";

const DAY = 86400;
// The size of bars and the seconds that a named range spans.
export const RANGES = {
  "1H": ["1m", DAY / 24], "1D": ["5m", DAY], "5D": ["15m", 5 * DAY], "1M": ["1h", 30 * DAY], "3M": ["1h", 91 * DAY], "1Y": ["1d", 365 * DAY], All: ["auto", Infinity],
};
const SPAN = "_";

/** Return a range of the address: {seconds}, {bars}, or {from, to} in seconds since 1970; null for what is none. */
export function parsedRange(text) {
  if (!text) return null;
  if (Object.hasOwn(RANGES, text)) return { seconds: RANGES[text][1] };
  if (/^[1-9]\d{0,3}$/.test(text)) return { bars: Number(text) };
  const [from, to] = text.split(SPAN).map((time) => Date.parse(`${time}Z`) / 1000);
  return from >= 0 && to > from ? { from, to } : null;
}

/** Write a range from one time to another for the address, in UTC. */
export const span = (from, to) => [from, to].map((ts) => new Date(ts * 1000).toISOString().slice(0, 19)).join(SPAN);

/** @param pick called with the name of a range and the size of its bars */
export function rangePicker(pick) {
  byId("ranges").append(...Object.entries(RANGES).map(([name, [size]]) => {
    const button = element("button", name, { type: "button", "data-range": name, "aria-pressed": "false", title: `Bars of ${size}` });
    button.addEventListener("click", () => pick(name, size));
    return button;
  }));
}

export function markRange(text) {
  for (const button of byId("ranges").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.range === text);
}
