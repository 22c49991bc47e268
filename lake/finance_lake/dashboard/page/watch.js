// The watch list: last prices, and their change since the first tick of the day.
import { partial, isAfter } from "./candles.js";
import { changed } from "./decimal.js";
import { element, say } from "./dom.js";
import { count, direction, signed } from "./format.js";

const DAY = 86400;

export class Watch {
  /** @param pick called with the symbol that somebody chooses */
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
    this.known = new Map(answer.symbols.map((one) => [one.symbol, { ...one }]));
    this.body.replaceChildren(...answer.symbols.map((one) => this.#row(one)));
    if (this.cut) this.body.append(this.#more(answer.symbols.length));
    this.choose(chosen);
  }

  choose(symbol) {
    for (const row of this.body.rows) row.setAttribute("aria-current", row.dataset.symbol === symbol);
  }

  /** Take a commit in; false where the list has to be asked for anew. */
  take(commit) {
    if (this.version === null || commit.version <= this.version) return true;
    if (commit.reload) return false;
    this.version = commit.version;
    for (const part of commit.bars.map(partial)) {
      const one = this.known.get(part.symbol);
      if (!one && this.cut) continue; // a symbol beyond the list
      if (!one || Math.floor(part.second / DAY) * DAY !== one.day || isAfter(one.last, part.first)) return false;
      Object.assign(one, { price: part.close, last: part.last }, changed(one.open, part.close));
      this.#paint(one, true);
    }
    return true;
  }

  #more(symbols) {
    const row = element("tr");
    row.append(element("td", `The first ${count(symbols)} symbols. ?symbol=NAME in the address shows any other.`, { colspan: 4 }));
    return row;
  }

  #row(one) {
    const row = element("tr", "", { "data-symbol": one.symbol });
    const name = element("th", "", { scope: "row" });
    const button = element("button", one.symbol, { type: "button", "aria-label": `Show ${one.symbol}` });
    button.addEventListener("click", () => this.pick(one.symbol));
    name.append(button);
    row.append(name, element("td", "", { class: "last number" }), element("td", "", { class: "change number" }), element("td", "", { class: "percent number" }));
    one = this.known.get(one.symbol);
    one.row = row;
    this.#paint(one, false);
    return row;
  }

  #paint({ row, price, change, percent }, flash) {
    const [, last, moved, share] = row.cells;
    if (flash && last.textContent !== price) {
      last.classList.remove("flash");
      requestAnimationFrame(() => last.classList.add("flash"));
    }
    say(last, price);
    say(moved, signed(change));
    say(share, signed(percent));
    row.dataset.direction = direction(change);
  }
}
