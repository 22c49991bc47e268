// The time zone in which the page shows times: the user's choice, from the address or else from this browser. Data are in UTC.
import { got, put } from "./address.js";
import { byId, element } from "./dom.js";

const UTC = "UTC";
const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const OFFERED = [UTC, HERE, "America/New_York", "America/Chicago", "Europe/London", "Europe/Berlin", "Asia/Hong_Kong", "Asia/Tokyo"];
const QUARTER = 900; // seconds: offsets change at multiples of it
const MAX_KNOWN = 20000;

let zone = UTC;
let format = null;
const known = new Map(); // offsets by quarter of an hour

export const zoneName = () => zone;

/** Return the seconds to add to a UTC time, in seconds since 1970, for the time in the shown zone. */
export function offset(second) {
  if (zone === UTC) return 0;
  const quarter = Math.floor(second / QUARTER);
  if (!known.has(quarter)) {
    if (known.size >= MAX_KNOWN) known.clear();
    const parts = Object.fromEntries(format.formatToParts(quarter * QUARTER * 1000).map(({ type, value }) => [type, Number(value)]));
    known.set(quarter, Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) / 1000 - quarter * QUARTER);
  }
  return known.get(quarter);
}

/** Return a time, in milliseconds since 1970, as ISO text without a zone, in the shown zone. */
export const zoned = (ms) => new Date(ms + 1000 * offset(Math.floor(ms / 1000))).toISOString().slice(0, -1);

/** Return the seconds since 1970 of ISO text in the shown zone; NaN if it is no time. */
export function parsed(text) {
  const guess = Date.parse(`${text}Z`) / 1000;
  return Number.isNaN(guess) ? guess : guess - offset(guess - offset(guess));
}

/** @param changed called when the user has chosen another zone */
export function zonePicker(changed) {
  const select = byId("zone");
  const wanted = got("tz") ?? localStorage.getItem("tz") ?? UTC;
  use(isZone(wanted) ? wanted : UTC);
  select.replaceChildren(...[...new Set([...OFFERED, zone])].map((name) => element("option", name.replace("_", " "), { value: name })));
  select.value = zone;
  select.addEventListener("change", () => {
    use(select.value);
    localStorage.setItem("tz", zone);
    put({ tz: zone === UTC ? null : zone });
    changed();
  });
}

function use(name) {
  zone = name;
  known.clear();
  format = new Intl.DateTimeFormat("en-US", {
    timeZone: name, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  });
}

function isZone(name) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}
