// The page as a whole: what is looked at, and what the server says about it.
import { ask } from "./ask.js";
import { Candles, seconds } from "./candles.js";
import { Chart } from "./chart.js";
import { byId, choose, element, later, say } from "./dom.js";
import { compact, stamp } from "./format.js";
import { commits, quarantine } from "./lists.js";
import { sqlPage } from "./sql.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { Travel } from "./travel.js";
import { Watch } from "./watch.js";

const SIZES = ["1s", "10s", "1m", "5m", "15m", "1h", "1d"];
const PAGES = ["chart", "sql", "quarantine", "commits"];
const REMEMBERED = 200;

const address = new URLSearchParams(location.search);
const look = { symbol: address.get("symbol"), size: SIZES.includes(address.get("size")) ? address.get("size") : "1m", asOf: null };
const recent = []; // commits as they came: what arrives while candles are asked for is added to them afterwards
let candles = null;
let asked = 0;

const strip = new Strip(byId("strip"));
const chart = new Chart(byId("candles"), legend);
const watch = new Watch(byId("watch"), pickSymbol);
const travel = new Travel(go);
const stream = new Stream({ commit, status, reset, link });

// ---- what the server says ---------------------------------------------------------------------------------------------

function link(state) {
  byId("link").dataset.link = state;
  say(byId("link").querySelector("span"), state === "open" ? "live" : "server lost, trying again");
}

function status(said) {
  empty(said);
  if (look.asOf === null) strip.status(said);
}

function reset(version) {
  recent.length = 0;
  travel.reach(version ?? 0);
  bounds();
  if (look.asOf !== null) go(null);
  else load();
}

function commit(said) {
  recent.push(said);
  if (recent.length > REMEMBERED) recent.shift();
  travel.reach(said.version);
  document.body.dataset.version = said.version;
  if (look.asOf !== null) return;
  strip.commit(said);
  if (!watch.take(said)) listAgain();
  if (candles) move([said]);
  pageMoved();
}

function move(all) {
  for (const said of all) {
    const moved = candles.take(said);
    if (moved === null) return candlesAgain();
    chart.move(candles, moved);
  }
  legend(null);
}

// ---- what is looked at ------------------------------------------------------------------------------------------------

const load = later(async () => {
  const symbol = look.symbol;
  await Promise.all([listWatched(), showCandles()]);
  if (look.symbol !== symbol) await showCandles();
}, 0);
const candlesAgain = later(showCandles, 250);
const listAgain = later(async () => {
  await listWatched();
  if (!candles) await showCandles();
}, 250);
const bounds = later(async () => {
  const { commits: all } = await ask("history", { limit: 1000 }).catch(() => ({ commits: [] }));
  if (all.length) travel.reach(all[0].version, all.at(-1).version);
}, 300);
const pageMoved = later(() => page() === "chart" || showPage(), 400);

async function listWatched() {
  const asOf = look.asOf;
  const answer = await trying(() => ask("latest", { as_of: asOf }));
  if (!answer || asOf !== look.asOf) return;
  const symbols = answer.symbols.map(({ symbol }) => symbol);
  if (!symbols.includes(look.symbol) && (asOf === null || look.symbol === null)) look.symbol = symbols[0] ?? null;
  choose(byId("symbol"), symbols, look.symbol);
  watch.show(answer, look.symbol);
  if (asOf === null) {
    // Commits that came while this was asked for.
    for (const said of recent) if (!watch.take(said)) listAgain();
  }
}

async function showCandles() {
  if (look.symbol === null) return;
  asked += 1;
  const mine = asked;
  const { symbol, size, asOf } = look;
  candles = null;
  const answer = await trying(() => ask("bars", { symbol, size, as_of: asOf }));
  if (!answer || mine !== asked) return;
  const shown = new Candles(answer);
  chart.show(shown);
  candles = shown;
  byId("bars-link").href = `api/bars?${new URLSearchParams({ symbol, size })}`;
  history.replaceState(null, "", `?${new URLSearchParams({ symbol, size })}${location.hash}`);
  if (asOf === null) move(recent.filter(({ version }) => version > shown.version));
  legend(null);
}

async function go(asOf) {
  if (asOf === null) {
    look.asOf = null;
    travel.now();
    notice("");
    const said = await trying(() => ask("status"));
    if (said) status(said);
    load();
  } else {
    const said = await trying(() => ask("status", { as_of: asOf }));
    if (!said) return;
    look.asOf = asOf;
    strip.status(said);
    travel.then(asOf, said);
    notice("");
    load();
  }
  showPage();
}

function pickSymbol(symbol) {
  if (!symbol) return;
  look.symbol = symbol;
  byId("symbol").value = symbol;
  watch.choose(symbol);
  showCandles();
}

function pickSize(size) {
  look.size = size;
  for (const radio of byId("size").querySelectorAll("input")) radio.checked = radio.value === size;
  showCandles();
}

// ---- what is shown ----------------------------------------------------------------------------------------------------

function legend(time) {
  const bar = candles?.bars.findLast(({ ts }) => time === null || ts === time);
  say(byId("legend"), bar
    ? `${stamp(bar.ts * 1000).slice(look.size === "1d" ? 0 : 5, look.size === "1d" ? 10 : look.size.endsWith("s") ? 19 : 16)}  O ${bar.open}  H ${bar.high}  L ${bar.low}  C ${bar.close}  V ${compact(bar.volume)}  ${bar.ticks} tick${bar.ticks === 1 ? "" : "s"}`
    : "");
}

function empty(said) {
  const none = said.version === null || said.rows === 0;
  byId("empty").hidden = !none || page() !== "chart";
  byId("chart").hidden = none || page() !== "chart";
  document.body.dataset.empty = none;
  if (none) say(byId("why"), said.problem ?? "The lake is there, and nothing has reached it yet.");
  else if (candles === null && look.asOf === null && watch.symbols.length === 0) listAgain();
}

function notice(text) {
  byId("notice").hidden = !text;
  say(byId("notice"), text);
}

async function trying(action) {
  try {
    const answer = await action();
    notice("");
    return answer;
  } catch (error) {
    // A server that is away is told of in its own place; a lake that is not there as well.
    if (!(error instanceof TypeError) && document.body.dataset.empty !== "true") notice(error.message);
    return null;
  }
}

const page = () => (PAGES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "chart");

function showPage() {
  const none = document.body.dataset.empty === "true";
  for (const name of PAGES) byId(name).hidden = name !== page() || (name === "chart" && none);
  byId("empty").hidden = !(none && page() === "chart");
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page() === "quarantine") trying(() => quarantine(look.asOf));
  if (page() === "commits") trying(() => commits(look.asOf));
}

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  chart.paint();
  if (candles) chart.show(candles);
}

function switchTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem("theme", dark ? "light" : "dark");
  paint(dark ? "light" : "dark");
}

// ---- what people do ---------------------------------------------------------------------------------------------------

function step(values, value, by) {
  return values[Math.min(values.length - 1, Math.max(0, values.indexOf(value) + by))];
}

const KEYS = {
  j: () => pickSymbol(step(watch.symbols, look.symbol, 1)),
  k: () => pickSymbol(step(watch.symbols, look.symbol, -1)),
  "]": () => pickSize(step(SIZES, look.size, 1)),
  "[": () => pickSize(step(SIZES, look.size, -1)),
  d: switchTheme,
  Escape: () => look.asOf !== null && go(null),
  1: () => { location.hash = "chart"; },
  2: () => { location.hash = "sql"; },
  3: () => { location.hash = "quarantine"; },
  4: () => { location.hash = "commits"; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key !== "Escape" && event.target.closest("input[type=text], textarea, select")) return;
  KEYS[event.key]?.();
});
byId("candles").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") chart.scroll(event.key === "ArrowLeft" ? -5 : 5);
});
byId("symbol").addEventListener("change", (event) => pickSymbol(event.target.value));
byId("pickers").addEventListener("submit", (event) => event.preventDefault());
byId("reason").addEventListener("change", () => trying(() => quarantine(look.asOf)));
byId("theme").addEventListener("click", switchTheme);
addEventListener("hashchange", showPage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint());

byId("size").append(...SIZES.toSorted((one, other) => seconds(one) - seconds(other)).map((size) => {
  const label = element("label");
  const radio = element("input", "", { type: "radio", name: "size", value: size, "aria-label": `Bars of ${size}` });
  radio.checked = size === look.size;
  radio.addEventListener("change", () => pickSize(size));
  label.append(radio, element("span", size));
  return label;
}));
sqlPage(() => look.asOf);
paint(localStorage.getItem("theme"));
showPage();
stream.open(null, null);
