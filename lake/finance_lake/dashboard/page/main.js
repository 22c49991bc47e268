// The page as a whole: what is looked at, and what the server says about it.
import { ask } from "./ask.js";
import { Candles } from "./candles.js";
import { Chart } from "./chart.js";
import { byId, choose, debounce, say, throttle, turns } from "./dom.js";
import { health } from "./health.js";
import { keys } from "./keys.js";
import { showLinks } from "./links.js";
import { commits, quarantine } from "./lists.js";
import { notice, trying } from "./notice.js";
import { isEmpty, page, showEmpty, showPage } from "./pages.js";
import { markSize, sizePicker, SIZES } from "./sizes.js";
import { sqlPage } from "./sql.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { theme } from "./theme.js";
import { Travel } from "./travel.js";
import { Watch } from "./watch.js";

const REMEMBERED = 200;

const address = new URLSearchParams(location.search);
const look = { symbol: address.get("symbol"), size: SIZES.includes(address.get("size")) ? address.get("size") : "1m", asOf: null };
const recent = []; // commits as they came: what arrives while candles are asked for is added to them afterwards
const [candlesTurn, travelTurn, listTurn] = [turns(), turns(), turns()];
let candles = null;

const strip = new Strip(byId("strip"));
const chart = new Chart(byId("candles"), byId("legend"));
const watch = new Watch(byId("watch"), pickSymbol);
const travel = new Travel(go);
const stream = new Stream({ commit, status, reset, link, quiet });
const heard = { connection: "opening", quiet: false, status: null };

// ---- what the server says ---------------------------------------------------------------------------------------------

function link(state) {
  heard.connection = state;
  showHealth();
}

function quiet(is) {
  heard.quiet = is;
  showHealth();
}

function showHealth() {
  const [state, text] = health({ ...heard, asOf: look.asOf });
  Object.assign(byId("link").dataset, { link: heard.connection, health: state });
  say(byId("link").querySelector("span"), text);
  strip.fresh(look.asOf !== null || (heard.connection === "open" && !heard.quiet));
}

function status(said) {
  showEmpty(said);
  if (look.asOf === null) heard.status = said;
  showHealth();
  if (!isEmpty() && candles === null && look.asOf === null && watch.symbols.length === 0) listAgain();
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
  if (look.asOf === null && heard.status && said.lag !== null) heard.status = { ...heard.status, waiting: false };
  recent.push(said);
  if (recent.length > REMEMBERED) recent.shift();
  travel.reach(said.version);
  document.body.dataset.version = said.version;
  if (look.asOf !== null) return;
  strip.commit(said);
  if (!watch.take(said)) listAgain();
  if (candles) move([said]);
  fillAgain();
}

function move(all) {
  for (const said of all) {
    const moved = candles.take(said);
    if (moved === null) return candlesAgain();
    chart.move(candles, moved);
  }
}

// ---- what is looked at ------------------------------------------------------------------------------------------------

const load = debounce(async () => {
  const symbol = look.symbol;
  await Promise.all([listWatched(), showCandles()]);
  if (look.symbol !== symbol) await showCandles();
}, 0);
const candlesAgain = throttle(showCandles, 250);
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
  const asOf = look.asOf;
  const answer = await trying("symbols", () => ask("latest", { as_of: asOf }));
  if (!answer || asOf !== look.asOf) return;
  const symbols = answer.symbols.map(({ symbol }) => symbol);
  const known = symbols.includes(look.symbol) || (answer.cut && look.symbol !== null);
  if (!known && (asOf === null || look.symbol === null)) look.symbol = symbols[0] ?? null;
  choose(byId("symbol"), symbols, look.symbol);
  watch.show(answer, look.symbol);
  if (asOf === null) {
    // Commits that came while this was asked for.
    for (const said of recent) if (!watch.take(said)) listAgain();
  }
}

async function showCandles() {
  if (look.symbol === null) return;
  const isNewest = candlesTurn();
  const { symbol, size, asOf } = look;
  candles = null;
  const answer = await trying("chart", () => ask("bars", { symbol, size, as_of: asOf }));
  if (!answer || !isNewest()) return;
  candles = new Candles(answer);
  chart.show(candles);
  history.replaceState(null, "", `?${new URLSearchParams({ symbol, size })}${location.hash}`);
  showLinks(look);
  if (asOf === null) move(recent.filter(({ version }) => version > answer.version));
}

async function go(asOf) {
  const isNewest = travelTurn();
  if (asOf === null) return back();
  const said = await trying("travel", () => ask("status", { as_of: asOf }));
  if (!isNewest()) return;
  if (said && said.version !== null) return lookBack(asOf, said);
  if (said) notice("travel", said.problem);
  travel.stay();
}

function lookBack(asOf, said) {
  look.asOf = asOf;
  heard.status = said;
  showHealth();
  strip.status(said);
  travel.then(said);
  load();
  turn();
}

async function back() {
  notice("travel", "");
  travel.now();
  if (look.asOf === null) return;
  look.asOf = null;
  load();
  turn();
  const said = await trying("travel", () => ask("status"));
  if (said) status(said);
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
  markSize(size);
  showCandles();
}

// ---- what is shown ----------------------------------------------------------------------------------------------------

/** Turn to the page that the address names. */
function turn() {
  showPage();
  fillPage();
}

async function fillPage() {
  const isNewest = listTurn();
  const fill = { quarantine, commits }[page()];
  if (fill) await trying("list", () => fill(look.asOf, isNewest));
  showLinks(look);
}

// ---- what people do ---------------------------------------------------------------------------------------------------

function step(values, value, by) {
  return values[Math.min(values.length - 1, Math.max(0, values.indexOf(value) + by))];
}

keys({
  symbol: (by) => pickSymbol(step(watch.symbols, look.symbol, by)),
  size: (by) => pickSize(step(SIZES, look.size, by)),
  scroll: (by) => chart.scroll(by),
  theme: theme(() => chart.paint()),
  now: () => go(null),
});
byId("symbol").addEventListener("change", (event) => pickSymbol(event.target.value));
byId("pickers").addEventListener("submit", (event) => event.preventDefault());
byId("reason").addEventListener("change", fillPage);
addEventListener("hashchange", turn);

sizePicker(pickSize);
markSize(look.size);
sqlPage(() => look.asOf);
turn();
stream.open(null, null);
