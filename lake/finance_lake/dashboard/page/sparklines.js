// The last day of the symbols in view, as small lines in the watch list. Only rows that are seen are asked for.
import { ask } from "./ask.js";
import { debounce } from "./dom.js";
import { sparkline } from "./svg.js";

const MAX_SYMBOLS = 100; // that one request may name
const AGAIN_MS = 60000;

export class Sparklines {
  #wanted = new Map(); // cells without a line that are in view, by symbol
  #observer;
  #asOf;
  #soon = debounce(() => this.#load(), 100);

  /** @param asOf returns the version or time that the page shows, or null for now */
  constructor(table, asOf) {
    this.#asOf = asOf;
    this.table = table;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#wanted.set(target.dataset.of, target);
        else this.#wanted.delete(target.dataset.of);
      }
      this.#soon();
    });
    setInterval(() => this.watch(), AGAIN_MS);
  }

  /** Watch the cells of the table: draw a line in each that comes into view. */
  watch() {
    this.#observer.disconnect();
    this.#wanted.clear();
    for (const cell of this.table.querySelectorAll("td.line")) this.#observer.observe(cell);
  }

  async #load() {
    const cells = [...this.#wanted].slice(0, MAX_SYMBOLS);
    if (cells.length === 0 || document.hidden) return;
    for (const [symbol] of cells) this.#wanted.delete(symbol);
    const symbols = cells.map(([symbol]) => symbol);
    const { lines } = await ask("sparklines", { symbol: symbols, as_of: this.#asOf() }).catch(() => ({ lines: {} }));
    for (const [symbol, cell] of cells) {
      const line = sparkline(lines[symbol] ?? []);
      if (line) cell.replaceChildren(line);
    }
    if (this.#wanted.size > 0) this.#soon();
  }
}
