// The page: what it shows, and how the server's events change it.
import { ask } from "./ask.js";
import { Candles } from "./candles.js";
import { Chart } from "./chart.js";
import { put } from "./address.js";
import { byId, choose, debounce, setText, throttle, turns } from "./dom.js";
import { health } from "./health.js";
import { keys } from "./keys.js";
import { showLinks } from "./links.js";
import { commits, quarantine } from "./lists.js";
import { attempt, notice } from "./notice.js";
import { isEmpty, page, showEmpty, showPage } from "./pages.js";
import { BarSize, sizePicker, SIZES } from "./sizes.js";
import { dressing } from "./dressing.js";
import { search } from "./search.js";
import { sqlPage } from "./sql.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { theme } from "./theme.js";
import { Travel } from "./travel.js";
import { Watch } from "./watch.js";

const REMEMBERED = 200;

const address = new URLSearchParams(location.search);
sizePicker(pickSize);
const size = new BarSize(address.get("size"));
const view = { symbol: address.get("symbol"), asOf: null };
const recent = []; // the newest commits: those that arrive while candles are fetched are applied afterwards
const [candlesTurn, travelTurn, listTurn] = [turns(), turns(), turns()];
const ROOM = 300; // bars that a first view has room for: older pages are loaded until there are as many
let isExtending = false;
let candles = null;

const strip = new Strip(byId("strip"));
const chart = new Chart(byId("candles"), byId("legend"), () => older());
const watch = new Watch(byId("watch"), pickSymbol);
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
  strip.fresh(view.asOf !== null || (server.connection === "open" && !server.quiet));
}

function status(message) {
  showEmpty(message);
  if (view.asOf === null) server.status = message;
  showHealth();
  if (!isEmpty() && candles === null && view.asOf === null && watch.symbols.length === 0) listAgain();
  if (view.asOf === null) strip.status(message);
}

function reset(version) {
  recent.length = 0;
  travel.reach(version ?? 0);
  bounds();
  if (view.asOf !== null) go(null);
  else load();
}

function commit(message) {
  if (view.asOf === null && server.status && message.lag !== null) server.status = { ...server.status, waiting: false };
  recent.push(message);
  if (recent.length > REMEMBERED) recent.shift();
  travel.reach(message.version);
  document.body.dataset.version = message.version;
  if (view.asOf !== null) return;
  strip.commit(message);
  if (!watch.apply(message)) listAgain();
  if (candles) move([message]);
  if (!size.settled) sizeAgain();
  fillAgain();
}

function move(all) {
  for (const message of all) {
    const moved = candles.apply(message);
    if (moved === null) return candlesAgain();
    chart.move(candles, moved);
  }
}

// ---- loading ----------------------------------------------------------------------------------------------------------

const load = debounce(async () => {
  const symbol = view.symbol;
  await Promise.all([listWatched(), showCandles()]);
  if (view.symbol !== symbol) await showCandles();
}, 0);
const candlesAgain = throttle(showCandles, 250);
const sizeAgain = throttle(async () => {
  if (!size.settled) await showCandles();
}, 1000);
const listAgain = throttle(async () => {
  await listWatched();
  if (!candles) await showCandles();
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
  watch.show(answer, view.symbol);
  if (asOf === null) {
    // Apply commits that arrived during the request.
    for (const message of recent) if (!watch.apply(message)) listAgain();
  }
}

async function showCandles() {
  if (view.symbol === null) return;
  const isNewest = candlesTurn();
  const { symbol, asOf } = view;
  candles = null;
  const answer = await attempt("chart", () => ask("bars", { symbol, size: size.wanted, as_of: asOf }));
  if (!answer || !isNewest()) return;
  candles = new Candles(answer);
  size.answered(answer);
  chart.show(candles, `${symbol} ${answer.size} ${asOf}`);
  put({ symbol, size: size.chosen || null });
  links();
  if (asOf === null) move(recent.filter(({ version }) => version > answer.version));
  if (candles?.older && candles.bars.length < ROOM) older();
}

/** Load a page of older bars; on a first view until it is full. */
async function older() {
  if (isExtending || !candles?.older) return;
  isExtending = true;
  byId("candles").dataset.state = "loading";
  const shown = candles;
  const { symbol, size: of, reached } = shown;
  // Late ticks of commits that are not applied yet belong to the bars of a newer version: the same version is read.
  const page = await attempt("history", () => ask("bars", { symbol, size: of, before: reached, as_of: view.asOf }));
  isExtending = false;
  byId("candles").dataset.state = page ? "" : "error";
  if (!page) return;
  if (candles !== shown) return older();
  shown.prepend(page);
  chart.extend(shown);
  if (shown.older && shown.bars.length < ROOM) older();
}

async function go(asOf) {
  const isNewest = travelTurn();
  if (asOf === null) return back();
  const message = await attempt("travel", () => ask("status", { as_of: asOf }));
  if (!isNewest()) return;
  if (message && message.version !== null) return lookBack(asOf, message);
  if (message) notice("travel", message.problem);
  travel.stay();
}

function lookBack(asOf, message) {
  size.settle();
  view.asOf = asOf;
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
  showCandles();
}

function pickSize(picked) {
  size.choose(picked);
  showCandles();
}

// ---- pages ------------------------------------------------------------------------------------------------------------

/** Show the page that the address names. */
function turn() {
  showPage();
  fillPage();
}

async function fillPage() {
  const isNewest = listTurn();
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
  symbol: (by) => pickSymbol(step(watch.symbols, view.symbol, by)),
  size: (by) => pickSize(step(SIZES, size.shown, by)),
  scroll: (by) => chart.scroll(by),
  theme: theme(() => chart.paint()),
  now: () => go(null),
});
byId("symbol").addEventListener("change", (event) => pickSymbol(event.target.value));
byId("pickers").addEventListener("submit", (event) => event.preventDefault());
byId("reason").addEventListener("change", fillPage);
addEventListener("hashchange", turn);
dressing(chart);
search(watch, pickSymbol);

sqlPage(() => view.asOf);
turn();
stream.open(null, null);
