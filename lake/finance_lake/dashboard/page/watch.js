// The watch list: last prices, their change against the previous close, and the volume of the day.
import { partial, isAfter } from "./candles.js";
import { changed, sum } from "./decimal.js";
import { element, setText } from "./dom.js";
import { compact, count, direction, signed } from "./format.js";

const DAY = 86400;

export class Watch {
  /** @param pick called with the chosen symbol */
  constructor(table, pick) {
    this.body = table.tBodies[0];
    this.pick = pick;
    this.known = new Map();
    this.version = null;
    this.cut = false; // whether the lake has more symbols than the list
  }

  get symbols() {
    return [...this.known.keys()];
  }

  show(answer, chosen) {
    this.version = answer.version;
    this.cut = answer.cut;
    this.known = new Map(answer.symbols.map((entry) => [entry.symbol, { ...entry }]));
    this.body.replaceChildren(...answer.symbols.map(({ symbol }) => this.#row(symbol)));
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

  #more(symbols) {
    const row = element("tr");
    row.append(element("td", `Showing the first ${count(symbols)} symbols. Open any other with ?symbol=NAME in the address.`, { colspan: 5 }));
    return row;
  }

  #row(symbol) {
    const row = element("tr", "", { "data-symbol": symbol });
    const name = element("th", "", { scope: "row" });
    const button = element("button", symbol, { type: "button", "aria-label": `Show ${symbol}` });
    button.addEventListener("click", () => this.pick(symbol));
    name.append(button);
    row.append(name, element("td", "", { class: "last number" }), element("td", "", { class: "change number" }), element("td", "", { class: "percent number" }), element("td", "", { class: "volume number" }));
    const entry = this.known.get(symbol);
    entry.row = row;
    this.#paint(entry, false);
    return row;
  }

  #paint({ row, price, change, percent, volume, against, base }, flash) {
    const [, last, moved, share, traded] = row.cells;
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
