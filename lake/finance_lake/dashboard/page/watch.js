// The watch list: last prices, their last day as a line, their change against the previous close, volume and age. It can be sorted.
import { got, put } from "./address.js";
import { partial, isAfter } from "./candles.js";
import { changed, sum } from "./decimal.js";
import { element, setText } from "./dom.js";
import { compact, count, direction, duration, signed, stamp } from "./format.js";

const DAY = 86400;
const COLUMNS = 7;
const OLD_MS = 60000; // an age that is shown as late, while the page shows now
const SORT = {
  symbol: (one, other) => (one.symbol < other.symbol ? -1 : 1),
  last: (one, other) => Number(one.price) - Number(other.price),
  change: (one, other) => Number(one.change) - Number(other.change),
  percent: (one, other) => Number(one.percent) - Number(other.percent),
  volume: (one, other) => Number(one.volume ?? Infinity) - Number(other.volume ?? Infinity),
  age: (one, other) => other.last[0] - one.last[0],
};

export class Watch {
  /** @param pick called with the chosen symbol */
  constructor(table, pick, sparklines) {
    this.body = table.tBodies[0];
    this.pick = pick;
    this.sparklines = sparklines;
    this.skew = 0; // milliseconds that the server's clock is ahead
    this.heads = [...table.tHead.querySelectorAll("[data-sort]")];
    for (const button of this.heads) button.addEventListener("click", () => this.#sortBy(button.dataset.sort));
    const wanted = got("sort") ?? "symbol";
    this.by = Object.hasOwn(SORT, wanted.replace("-", "")) ? wanted : "symbol";
    this.#mark();
    setInterval(() => this.#age(), 1000);
    this.known = new Map();
    this.version = null;
    this.cut = false; // whether the lake has more symbols than the list
  }

  get symbols() {
    return [...this.known.keys()];
  }

  /** The symbols in the order of the list. */
  get order() {
    return [...this.known.values()].sort(this.#compare()).map(({ symbol }) => symbol);
  }

  show(answer, chosen) {
    this.version = answer.version;
    this.cut = answer.cut;
    this.known = new Map(answer.symbols.map((entry) => [entry.symbol, { ...entry }]));
    this.body.replaceChildren(...this.order.map((symbol) => this.#row(symbol)));
    this.sparklines.watch();
    this.#age();
    if (this.cut) this.body.append(this.#more(answer.symbols.length));
    this.choose(chosen);
    this.filter(this.filtered ?? "");
  }

  choose(symbol) {
    for (const row of this.body.rows) row.setAttribute("aria-current", row.dataset.symbol === symbol);
  }

  /** Return the symbols that contain a text, those that begin with it first. */
  matches(text) {
    const wanted = text.trim().toUpperCase();
    const found = this.symbols.filter((symbol) => symbol.toUpperCase().includes(wanted));
    return found.sort((one, other) => other.toUpperCase().startsWith(wanted) - one.toUpperCase().startsWith(wanted));
  }

  /** Show only the rows of the symbols that contain a text. */
  filter(text) {
    this.filtered = text;
    const found = new Set(this.matches(text));
    for (const row of this.body.rows) row.hidden = row.dataset.symbol !== undefined && !found.has(row.dataset.symbol);
  }

  /** Apply a commit; false if the list must be fetched again. */
  apply(commit) {
    if (this.version === null || commit.version <= this.version) return true;
    if (commit.reload) return false;
    this.version = commit.version;
    for (const part of commit.bars.map(partial)) {
      const entry = this.known.get(part.symbol);
      if (!entry && this.cut) continue; // a symbol beyond the list
      if (!entry || Math.floor(part.second / DAY) * DAY !== entry.day || isAfter(entry.last, part.first)) return false;
      Object.assign(entry, { price: part.close, last: part.last, volume: sum(entry.volume, part.volume) }, changed(entry.base, part.close));
      this.#paint(entry, true);
    }
    return true;
  }

  #compare() {
    const [name, sign] = this.by.startsWith("-") ? [this.by.slice(1), -1] : [this.by, 1];
    return (one, other) => sign * SORT[name](one, other) || SORT.symbol(one, other);
  }

  /** Sort by a column: figures from the largest on first, names and ages from the smallest; again to turn it round. */
  #sortBy(name) {
    const [first, second] = name === "symbol" || name === "age" ? [name, `-${name}`] : [`-${name}`, name];
    this.by = this.by === first ? second : first;
    put({ sort: this.by === "symbol" ? null : this.by });
    this.#mark();
    this.sort();
  }

  #mark() {
    for (const button of this.heads) {
      const { sort } = button.dataset;
      button.closest("th").setAttribute("aria-sort", this.by === sort ? "ascending" : this.by === `-${sort}` ? "descending" : "none");
    }
  }

  /** Put the rows into their order. */
  sort() {
    const wanted = this.order.map((symbol) => this.known.get(symbol).row);
    const isSorted = wanted.every((row, index) => this.body.rows[index] === row);
    if (!isSorted) this.body.prepend(...wanted);
  }

  /** Show how long ago the newest tick of each symbol was, and sort again if figures have changed. */
  #age() {
    if (document.hidden) return;
    const now = Date.now() + this.skew;
    for (const { row, last } of this.known.values()) {
      const ms = now - last[0] / 1000;
      const cell = row.cells[COLUMNS - 1];
      setText(cell, duration(ms, 0));
      if (cell.title === "" || cell.dataset.at !== String(last[0])) [cell.dataset.at, cell.title] = [last[0], `newest tick at ${stamp(last[0] / 1000)}`];
      cell.dataset.state = ms > OLD_MS ? "late" : "";
    }
    if (this.by !== "symbol" && this.by !== "-symbol" && !this.body.contains(document.activeElement)) this.sort();
  }

  #more(symbols) {
    const row = element("tr");
    row.append(element("td", `Showing the first ${count(symbols)} symbols. Open any other with ?symbol=NAME in the address.`, { colspan: COLUMNS }));
    return row;
  }

  #row(symbol) {
    const row = element("tr", "", { "data-symbol": symbol });
    const name = element("th", "", { scope: "row" });
    const button = element("button", symbol, { type: "button", "aria-label": `Show ${symbol}` });
    button.addEventListener("click", () => this.pick(symbol));
    name.append(button);
    const entry = this.known.get(symbol);
    const line = element("td", "", { class: "line", "data-of": symbol });
    row.append(name, line, ...["last", "change", "percent", "volume", "age"].map((of) => element("td", "", { class: `${of} number` })));
    entry.row = row;
    this.#paint(entry, false);
    return row;
  }

  #paint({ row, price, change, percent, volume, against, base }, flash) {
    const [, , last, moved, share, traded] = row.cells;
    if (flash && last.textContent !== price) {
      last.classList.remove("flash");
      requestAnimationFrame(() => last.classList.add("flash"));
    }
    setText(last, price);
    setText(moved, signed(change));
    setText(share, signed(percent));
    setText(traded, compact(volume));
    moved.title = against === "close" ? `since the previous close, ${base}` : `since the first tick of the UTC day, ${base}`;
    row.dataset.direction = direction(change);
  }
}
