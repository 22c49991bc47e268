// The queries that ran in this browser, the newest first.
import { element } from "./dom.js";

const MOST = 50;
const KEY = "queries";

export class QueryHistory {
  #place = -1; // -1 is the text of the field before the user went back

  /** @param show called with the text of an earlier query */
  constructor(select, show) {
    [this.select, this.show] = [select, show];
    select.addEventListener("change", () => {
      if (select.value) show(this.queries[Number(select.value)]);
      select.selectedIndex = 0;
    });
    this.#list();
  }

  get queries() {
    try {
      const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return Array.isArray(stored) ? stored.filter((query) => typeof query === "string") : [];
    } catch {
      return []; // another program has written it
    }
  }

  add(query) {
    localStorage.setItem(KEY, JSON.stringify([query, ...this.queries.filter((other) => other !== query)].slice(0, MOST)));
    this.#place = 0;
    this.#list();
  }

  /** Go to an older query (1) or a newer one (-1). */
  go(step) {
    const { queries } = this;
    const place = Math.min(queries.length - 1, Math.max(0, this.#place + step));
    if (queries.length === 0) return;
    this.#place = place;
    this.show(queries[place]);
  }

  #list() {
    const options = this.queries.map((query, index) => element("option", query.replace(/\s+/g, " ").slice(0, 80), { value: index }));
    this.select.replaceChildren(element("option", "Earlier queries", { value: "" }), ...options);
    this.select.disabled = options.length === 0;
  }
}
