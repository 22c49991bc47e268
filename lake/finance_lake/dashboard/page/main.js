// The page: what it shows, and how the server's events change it.
import { ask } from "./ask.js";
import { got, put } from "./address.js";
import { Chart } from "./chart.js";
import { ChartBars } from "./chart_bars.js";
import { commits } from "./commits.js";
import { byId, choose, debounce, element, setText, throttle, turns } from "./dom.js";
import { health } from "./health.js";
import { keys } from "./keys.js";
import { showLinks } from "./links.js";
import { attempt, notice } from "./notice.js";
import { isEmpty, page, showEmpty, showPage } from "./pages.js";
import { rangePicker, markRange, span } from "./ranges.js";
import { BarSize, sizePicker, SIZES } from "./sizes.js";
import { dressing } from "./dressing.js";
import { chosenReason, quarantine } from "./rejects.js";
import { search } from "./search.js";
import { Sparklines } from "./sparklines.js";
import { sqlPage } from "./sql.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { theme } from "./theme.js";
import { Travel } from "./travel.js";
import { Watch } from "./watch.js";
import { parsed, zonePicker } from "./zone.js";

zonePicker(() => {
  chart.redraw();
  fillPage();
});
sizePicker(pickSize);
rangePicker(pickRange);
const size = new BarSize(got("size"));
const view = { symbol: got("symbol"), compare: got("compare"), range: got("range"), asOf: null };
const [travelTurn, listTurn] = [turns(), turns()];
let wantedAsOf = got("as_of"); // until the first event

const strip = new Strip(byId("strip"));
const chart = new Chart(byId("candles"), byId("legend"), (side) => bars[side](), debounce(setRange, 200));
const bars = new ChartBars(chart, view, size, links);
const sparklines = new Sparklines(byId("watch"), () => view.asOf);
const watch = new Watch(byId("watch"), pickSymbol, sparklines);
const travel = new Travel(go);
const stream = new Stream({ commit, status, reset, link, quiet });
const server = { connection: "opening", quiet: false, status: null };

// ---- server events ----------------------------------------------------------------------------------------------------

function link(state) {
  server.connection = state;
  showHealth();
}

function quiet(isQuiet) {
  server.quiet = isQuiet;
  showHealth();
}

function showHealth() {
  const [state, text] = health({ ...server, asOf: view.asOf });
  Object.assign(byId("link").dataset, { link: server.connection, health: state });
  setText(byId("link").querySelector("span"), text);
  const isFresh = view.asOf !== null || (server.connection === "open" && !server.quiet);
  strip.fresh(isFresh);
  document.body.dataset.stale = !isFresh && server.connection !== "opening";
}

function status(message) {
  showEmpty(message);
  if (view.asOf === null) server.status = message;
  watch.skew = message.now - Date.now();
  showHealth();
  if (!isEmpty() && bars.candles === null && view.asOf === null && watch.symbols.length === 0) listAgain();
  if (view.asOf === null) strip.status(message);
}

function reset(version) {
  bars.recent.length = 0;
  travel.reach(version ?? 0);
  bounds();
  const asOf = wantedAsOf;
  wantedAsOf = null;
  if (asOf !== null) go(asOf, true);
  else if (view.asOf !== null) go(null);
  else load();
}

function commit(message) {
  if (view.asOf === null && server.status && message.lag !== null) server.status = { ...server.status, waiting: false };
  travel.reach(message.version);
  document.body.dataset.version = message.version;
  bars.commit(message);
  if (view.asOf !== null) return;
  strip.commit(message);
  if (!watch.apply(message)) listAgain();
  if (!size.settled) sizeAgain();
  fillAgain();
}

// ---- loading ----------------------------------------------------------------------------------------------------------

const load = debounce(async () => {
  const symbol = view.symbol;
  await Promise.all([listWatched(), bars.show()]);
  if (view.symbol !== symbol) await bars.show();
}, 0);
const sizeAgain = throttle(async () => {
  if (!size.settled) await bars.show();
}, 1000);
const listAgain = throttle(async () => {
  await listWatched();
  if (!bars.candles) await bars.show();
}, 250);
const bounds = throttle(async () => {
  const { version, oldest } = await ask("history", { limit: 1 }).catch(() => ({}));
  if (version !== undefined) travel.reach(version, oldest);
}, 300);
const fillAgain = throttle(fillPage, 400);

async function listWatched() {
  const asOf = view.asOf;
  const answer = await attempt("symbols", () => ask("latest", { as_of: asOf }));
  if (!answer || asOf !== view.asOf) return;
  const symbols = answer.symbols.map(({ symbol }) => symbol);
  const known = symbols.includes(view.symbol) || (answer.cut && view.symbol !== null);
  if (!known && (asOf === null || view.symbol === null)) view.symbol = symbols[0] ?? null;
  choose(byId("symbol"), symbols, view.symbol);
  comparePicker(symbols);
  watch.show(answer, view.symbol);
  if (asOf === null) {
    // Apply commits that arrived during the request.
    for (const message of bars.recent) if (!watch.apply(message)) listAgain();
  }
}

function comparePicker(symbols) {
  const select = byId("compare");
  const others = symbols.filter((symbol) => symbol !== view.symbol);
  if (view.compare !== null && !others.includes(view.compare) && view.compare !== view.symbol) others.push(view.compare);
  select.replaceChildren(element("option", "none", { value: "" }), ...others.map((symbol) => element("option", symbol, { value: symbol })));
  select.value = view.compare === view.symbol ? "" : view.compare ?? "";
}

/** @param isFirst whether the page has just been opened: what cannot be shown then is now */
async function go(asOf, isFirst = false) {
  const isNewest = travelTurn();
  if (asOf === null) return back();
  const message = await attempt("travel", () => ask("status", { as_of: asOf }));
  if (!isNewest()) return;
  if (message && message.version !== null) return lookBack(asOf, message);
  if (message) notice("travel", message.problem);
  travel.stay();
  if (!isFirst) return;
  put({ as_of: null });
  load();
}

function lookBack(asOf, message) {
  size.settle();
  view.asOf = asOf;
  put({ as_of: asOf });
  server.status = message;
  showHealth();
  strip.status(message);
  travel.then(message);
  load();
  turn();
}

async function back() {
  notice("travel", "");
  travel.now();
  if (view.asOf === null) return;
  view.asOf = null;
  put({ as_of: null });
  load();
  turn();
  const message = await attempt("travel", () => ask("status"));
  if (message) status(message);
}

function pickSymbol(symbol) {
  if (!symbol) return;
  size.settle();
  view.symbol = symbol;
  byId("symbol").value = symbol;
  watch.choose(symbol);
  comparePicker([...new Set([...watch.symbols, symbol])]);
  bars.show();
}

function pickSize(picked) {
  size.choose(picked);
  if (!view.range?.includes("_")) setRange(null);
  bars.show();
}

function pickRange(name, of) {
  if (of === "auto") size.free();
  else size.choose(of);
  setRange(name);
  bars.show().then(() => bars.look());
}

/** Show the newest bars, fitted into the width. */
function showNewest() {
  const isDetached = bars.candles?.newer;
  setRange(null);
  byId("date").value = "";
  chart.fit();
  if (isDetached) bars.show();
}

function setRange(range) {
  view.range = range;
  put({ range });
  markRange(range);
}

function goTo(text) {
  const from = parsed(text);
  if (Number.isNaN(from) || !bars.candles) return;
  setRange(span(from, from + chart.room * bars.candles.step));
  size.settle();
  bars.show();
}

// ---- pages ------------------------------------------------------------------------------------------------------------

/** Show the page that the address names. */
function turn() {
  showPage();
  fillPage();
}

async function fillPage() {
  const isNewest = listTurn();
  if (page() === "sql") openSql();
  const fill = { quarantine, commits }[page()];
  if (fill) await attempt("list", () => fill(view.asOf, isNewest));
  links();
}

function links() {
  showLinks({ ...view, size: size.wanted });
}

// ---- user input -------------------------------------------------------------------------------------------------------

function step(values, value, by) {
  return values[Math.min(values.length - 1, Math.max(0, values.indexOf(value) + by))];
}

keys({
  symbol: (by) => pickSymbol(step(watch.order, view.symbol, by)),
  size: (by) => pickSize(step(SIZES, size.shown, by)),
  scroll: (by) => chart.scroll(by),
  theme: theme(() => chart.paint()),
  fit: () => showNewest(),
  date: () => byId("date").focus(),
  now: () => (view.asOf === null && view.range !== null ? showNewest() : go(null)),
});
byId("symbol").addEventListener("change", (event) => pickSymbol(event.target.value));
byId("compare").addEventListener("change", (event) => {
  view.compare = event.target.value || null;
  put({ compare: view.compare });
  bars.compared();
});
for (const form of ["pickers", "finder", "ask"]) byId(form).addEventListener("submit", (event) => event.preventDefault());
byId("date").addEventListener("change", (event) => goTo(event.target.value));
byId("retry").addEventListener("click", () => bars.show());
byId("newest").addEventListener("click", showNewest);
byId("reason").addEventListener("change", () => {
  put({ reason: chosenReason() });
  fillPage();
});
addEventListener("hashchange", turn);
dressing(chart);
search(watch, pickSymbol);
const openSql = sqlPage(() => view.asOf);
turn();
stream.open(null, null);
