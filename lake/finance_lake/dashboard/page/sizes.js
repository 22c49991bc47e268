// The size of the bars: the user's choice, or one that fits the data. The picker shows it.
import { seconds } from "./candles.js";
import { byId, element } from "./dom.js";

export const SIZES = ["1s", "10s", "1m", "5m", "15m", "1h", "1d"];
const AUTO = "auto";
const FILLING_MS = 20000;
const CURRENT_SECONDS = 30;

/**
 * The user's choice, from the page's address or else from this browser; without one the server picks a size that fits.
 *
 * A new lake may still be filling with its past when it is first shown. Until its newest bar is current, for at most 20 s, the
 * server picks again; then the size stays.
 */
export class BarSize {
  #isSettled;
  #deadline = Infinity; // when an automatic size is settled in any case

  constructor(address) {
    const known = [address, localStorage.getItem("size")].find((size) => SIZES.includes(size));
    this.chosen = known ?? null;
    this.shown = this.chosen; // null until the first answer
    this.#isSettled = this.chosen !== null;
    mark(this.shown);
  }

  /** Whether the size stays until the user chooses another one. */
  get settled() {
    return this.#isSettled || Date.now() >= this.#deadline;
  }

  /** The size to request. */
  get wanted() {
    return this.settled ? this.shown : AUTO;
  }

  choose(size) {
    localStorage.setItem("size", size);
    [this.chosen, this.shown, this.#isSettled] = [size, size, true];
    mark(size);
  }

  /** Let the server pick a size for the next bars, which then stays. */
  free() {
    localStorage.removeItem("size");
    [this.chosen, this.shown, this.#isSettled, this.#deadline] = [null, null, false, Infinity];
  }

  /** Stay with the size that is shown, if there are bars of it. */
  settle() {
    this.#isSettled ||= this.#deadline < Infinity;
  }

  /** Show the size of an answer of /api/bars to a request for `wanted`. */
  answered({ size, bars }) {
    if (this.settled) return;
    this.shown = size;
    mark(size);
    if (bars.length === 0) return;
    const now = Date.now();
    this.#deadline = Math.min(this.#deadline, now + FILLING_MS);
    this.#isSettled = now / 1000 - bars.at(-1).ts < seconds(size) + CURRENT_SECONDS;
  }
}

export function sizePicker(pick) {
  byId("size").append(...SIZES.map((size) => {
    const label = element("label");
    const radio = element("input", "", { type: "radio", name: "size", value: size, "aria-label": `Bars of ${size}` });
    radio.addEventListener("change", () => pick(size));
    label.append(radio, element("span", size));
    return label;
  }));
}

function mark(size) {
  for (const radio of byId("size").querySelectorAll("input")) radio.checked = radio.value === size;
}
