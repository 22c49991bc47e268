// The chart's bars: which are loaded, how they grow on scroll, and how commits change them.
import { ask } from "./ask.js";
import { put } from "./address.js";
import { Candles } from "./candles.js";
import { setText, throttle, turns, byId } from "./dom.js";
import { attempt } from "./notice.js";
import { markRange, parsedRange } from "./ranges.js";

const ROOM = 300; // bars that a first view has room for: older pages are loaded until there are as many
const BEFORE = 200; // bars before a time that is gone to
const MAX_PAGE = 2000;
const MAX_BARS = 20000; // that a range may load
const RETRY_MS = 5000;
const LATELY = 200; // commits that are kept: those that arrive while bars are fetched are applied afterwards

export class ChartBars {
  #chart;
  #view;
  #size;
  #shown;
  #turn = turns();
  #otherTurn = turns();
  #running = null; // the page that is being loaded: {candles, done}
  #subject = "";
  candles = null; // null while they are fetched
  #before = null; // the candles before a reload
  #other = null; // the candles of the symbol to compare with
  recent = [];
  again = throttle(() => this.show(true), 250);

  /**
   * @param view symbol, compare, asOf, and range as the address has it
   * @param shown called after other bars were drawn
   */
  constructor(chart, view, size, shown) {
    [this.#chart, this.#view, this.#size, this.#shown] = [chart, view, size, shown];
  }

  /**
   * Fetch and draw the bars of the view.
   * @param isReload whether they are drawn already and only may have changed: then the view and the older bars stay
   * @param isRetry whether this repeats a failed request: the failure stays on the page meanwhile
   */
  async show(isReload = false, isRetry = false) {
    if (this.#view.symbol === null) return;
    const isNewest = this.#turn();
    const { symbol, asOf, range } = this.#view;
    const wanted = parsedRange(range);
    this.#before = this.candles ?? this.#before;
    this.candles = null;
    const isKept = isReload && this.#before && !this.#before.newer;
    if (!isKept && !isRetry) state("opening");
    const candles = await attempt("chart", () => this.#fetched(symbol, isKept ? null : wanted), failed);
    if (!isNewest()) return;
    if (!candles) {
      setTimeout(() => isNewest() && this.show(isReload, true), RETRY_MS);
      return;
    }
    this.#size.answered(candles);
    const subject = `${symbol} ${candles.size} ${asOf}`;
    if (subject === this.#subject && this.#before) candles.keep(this.#before);
    const isOther = subject !== this.#subject;
    [this.candles, this.#subject, this.#before] = [candles, subject, null];
    this.#chart.show(candles, subject);
    state("");
    put({ symbol, size: this.#size.chosen || null });
    this.#shown();
    if (asOf === null && !candles.newer) this.move(this.recent.filter(({ version }) => version > candles.version));
    this.#compare();
    if (isOther || (wanted?.from && !isKept)) await this.look();
    else if (this.candles?.older && this.candles.bars.length < ROOM) this.older();
  }

  /** Show the range of the view, after loading what it needs, unless the user moves the chart meanwhile. */
  async look() {
    const wanted = parsedRange(this.#view.range);
    const { candles } = this;
    markRange(this.#view.range);
    this.#chart.isMoved = false;
    if (!candles) return;
    if (wanted?.from) return this.#chart.look(wanted.from, wanted.to);
    const newest = candles.bars.at(-1)?.ts;
    const needed = () => {
      if (this.candles !== candles || !candles.older || candles.bars.length >= MAX_BARS) return false;
      if (wanted?.seconds) return candles.bars[0].ts > newest - wanted.seconds;
      return candles.bars.length < (wanted?.bars ?? ROOM);
    };
    while (needed() && await this.older(wanted ? MAX_PAGE : undefined));
    if (this.candles !== candles || this.#chart.isMoved || !wanted || newest === undefined) return;
    this.#chart.look(wanted.seconds ? newest - wanted.seconds : candles.bars.at(-wanted.bars)?.ts ?? 0, candles.bars.at(-1).ts);
  }

  /** Apply commits to the bars. */
  move(messages) {
    for (const message of messages) {
      if (!this.candles) return;
      const moved = this.candles.apply(message);
      if (this.#other?.apply(message) === null) this.#compare();
      if (moved === null) return this.again();
      this.#chart.move(this.candles, moved);
      this.#drawOther();
    }
  }

  commit(message) {
    this.recent.push(message);
    if (this.recent.length > LATELY) this.recent.shift();
    if (this.#view.asOf === null && this.candles) this.move([message]);
  }

  /** Load a page of older bars; returns whether there was one. */
  async older(limit) {
    const { candles } = this;
    return this.#extended(() => candles?.older, { before: candles?.reached, limit }, (page) => candles.prepend(page));
  }

  /** Load a page of newer bars, after a jump to an earlier time. */
  async newer() {
    const { candles } = this;
    const done = await this.#extended(() => candles?.newer, { begin: candles?.end, limit: undefined }, (page) => candles.append(page));
    if (done && this.candles === candles && !candles.newer && this.#view.asOf === null) this.move(this.recent.filter(({ version }) => version > candles.version));
    return done;
  }

  async #extended(isWanted, at, add) {
    const { candles } = this;
    if (this.#running?.candles === candles) return this.#running.done;
    if (!isWanted()) return false;
    const done = this.#loaded(candles, at, add);
    this.#running = { candles, done };
    await done;
    if (this.#running?.done === done) this.#running = null;
    return done;
  }

  async #loaded(candles, { limit = null, ...at }, add) {
    state("loading");
    const page = await attempt("history", () => this.#page(candles, { limit, ...at }));
    if (this.candles !== candles) return false;
    state(""); // a failure is shown above the page, and scrolling tries again
    if (!page) return false;
    add(page);
    this.#chart.extend(candles);
    this.#compare();
    return true;
  }

  #page({ symbol, size }, parameters) {
    return ask("bars", { symbol, size, as_of: this.#view.asOf, ...parameters });
  }

  async #fetched(symbol, wanted) {
    const of = { symbol, size: this.#size.wanted };
    if (!wanted?.from) return new Candles(await this.#page(of, {}));
    const after = await this.#page(of, { begin: Math.floor(wanted.from), limit: MAX_PAGE });
    return Candles.around(after, await this.#page({ symbol, size: after.size }, { before: Math.floor(wanted.from), limit: BEFORE }));
  }

  /** Load the bars of the symbol to compare with, as far back as those of the chart go. */
  async #compare() {
    const isNewest = this.#otherTurn();
    const { candles } = this;
    const symbol = this.#view.compare === this.#view.symbol ? null : this.#view.compare;
    if (symbol === null || !candles?.bars.length) {
      this.#other = null;
      return this.#chart.compare(null, "");
    }
    let other = this.#other;
    if (other?.symbol !== symbol || other.size !== candles.size || other.version !== candles.version || other.until !== candles.end) {
      const before = candles.newer ? candles.end : null;
      const answer = await attempt("compare", () => this.#page({ symbol, size: candles.size }, { before, limit: MAX_PAGE }));
      if (!answer || !isNewest() || this.candles !== candles) return;
      other = new Candles(answer);
      other.until = candles.end;
      this.#other = other;
    }
    while (other.older && other.reached > candles.bars[0].ts) {
      const page = await attempt("compare", () => this.#page(other, { before: other.reached, limit: MAX_PAGE }));
      if (!page || !isNewest() || this.candles !== candles) return;
      other.prepend(page);
    }
    this.#drawOther();
  }

  /** Compare again, after the user has chosen another symbol to compare with. */
  compared() {
    this.#compare();
  }

  #drawOther() {
    if (this.#other && this.candles) this.#chart.compare(this.#other.bars, this.#other.symbol);
  }
}

function state(name) {
  byId("candles").dataset.state = name;
  byId("again").hidden = name !== "error";
}

function failed(message) {
  state("error");
  setText(byId("failure"), message);
}
