// Completions of the word before the cursor of a query: tables, columns, words of SQL. Tab takes one.
import { element } from "./dom.js";

const WORDS = `SELECT FROM WHERE GROUP BY ORDER BY HAVING LIMIT DISTINCT AS AND OR NOT IN BETWEEN LIKE IS NULL CASE WHEN THEN ELSE END JOIN LEFT JOIN
ASOF JOIN USING ON UNION ALL WITH OVER PARTITION BY QUALIFY FILTER DESC ASC INTERVAL count sum avg min max round median stddev corr quantile_cont
arg_min arg_max first last lag lead row_number date_trunc time_bucket epoch epoch_us now abs ln exp sqrt coalesce greatest least`.split(/\s+/);
const MOST = 8;

export class Completion {
  #schema = {};
  #offers = [];
  #chosen = 0;
  #isClosed = false; // until the word changes

  constructor(field, list) {
    [this.field, this.list] = [field, list];
    field.addEventListener("input", () => {
      this.#isClosed = false;
      this.#offer();
    });
    for (const name of ["click", "blur"]) field.addEventListener(name, () => this.#close());
    field.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const taken = event.target.closest("li");
      if (taken) this.#take(taken.textContent);
    });
  }

  /** @param tables columns, {name, type}, by table */
  know(tables) {
    this.#schema = tables;
  }

  #word() {
    return /[A-Za-z_][A-Za-z0-9_]*$/.exec(this.field.value.slice(0, this.field.selectionStart))?.[0] ?? "";
  }

  /** Return what can complete a word: columns of tables that the query names come first. */
  #matches(word) {
    const tables = Object.keys(this.#schema);
    const named = tables.filter((table) => new RegExp(`\\b${table}\\b`, "i").test(this.field.value));
    const columns = [...named, ...tables].flatMap((table) => this.#schema[table].map(({ name }) => name));
    const all = [...new Set([...columns, ...tables, ...WORDS])];
    const begin = word.toLowerCase();
    return all.filter((each) => each.toLowerCase().startsWith(begin) && each.toLowerCase() !== begin).slice(0, MOST);
  }

  #offer() {
    const word = this.#word();
    this.#offers = word.length < 2 || this.#isClosed ? [] : this.#matches(word);
    this.#chosen = 0;
    this.#draw();
  }

  #draw() {
    this.list.hidden = this.#offers.length === 0;
    this.list.replaceChildren(...this.#offers.map((text, index) => (
      element("li", text, { role: "option", id: `offer-${index}`, "aria-selected": index === this.#chosen })
    )));
    if (this.list.hidden) this.field.removeAttribute("aria-activedescendant");
    else this.field.setAttribute("aria-activedescendant", `offer-${this.#chosen}`);
  }

  #close() {
    this.#offers = [];
    this.#draw();
  }

  #key(event) {
    if (this.#offers.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Tab" && !event.shiftKey) this.#take(this.#offers[this.#chosen]);
    else if (event.key === "Escape") [this.#isClosed] = [true, this.#close()];
    else if (step) {
      this.#chosen = (this.#chosen + step + this.#offers.length) % this.#offers.length;
      this.#draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #take(text) {
    const end = this.field.selectionStart;
    this.field.setRangeText(text, end - this.#word().length, end, "end");
    this.#close();
    this.field.focus();
  }
}
