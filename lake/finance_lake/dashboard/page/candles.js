// The candles of one symbol, and how a commit changes them. Pure: no page, no network.
import { larger, smaller, sum } from "./decimal.js";

const SECONDS = { s: 1, m: 60, h: 3600, d: 86400 };

export const seconds = (size) => Number(size.slice(0, -1)) * SECONDS[size.at(-1)];

/** Return whether one order key is after another: by event time, then partition and offset. */
export function isAfter(one, other) {
  for (let index = 0; index < one.length; index += 1) {
    if (one[index] !== other[index]) return one[index] > other[index];
  }
  return false;
}

/** Return a bar of a commit update as an object; the server sends arrays. */
export function partial([symbol, second, first, last, open, high, low, close, volume, ticks, turnover]) {
  return { symbol, second, first, last, open, high, low, close, volume, ticks, turnover };
}

export class Candles {
  /** @param answer response of /api/bars: the bars as of a version, and the order key of the newest tick */
  constructor(answer) {
    this.symbol = answer.symbol;
    this.size = answer.size;
    this.step = seconds(answer.size);
    this.version = answer.version;
    this.last = answer.last;
    this.bars = answer.bars;
    this.older = answer.more; // whether the lake has older ticks
    this.reached = answer.reached; // where the next older page begins
    this.newer = false; // whether the lake has newer ticks, after a jump to an earlier time
    this.end = Infinity; // where the next newer page begins
    this.outdated = Infinity; // from which second on bars may have changed, once they must be fetched again
  }

  /** Return the candles around a time: a page of bars from it on, and one before it. */
  static around(after, before) {
    const candles = new Candles({ ...after, bars: [...before.bars, ...after.bars], more: before.more, reached: before.reached });
    if (after.more) [candles.newer, candles.end] = [true, after.reached];
    return candles;
  }

  /** Add a page of older bars. */
  prepend({ bars, more, reached }) {
    this.bars.unshift(...bars);
    [this.older, this.reached] = [more, reached];
  }

  /** Add a page of newer bars; the last one brings the candles to its version. */
  append({ bars, more, reached, last, version }) {
    this.bars.push(...bars);
    [this.newer, this.end] = more ? [true, reached] : [false, Infinity];
    if (!more) [this.last, this.version] = [last, version];
  }

  /** Keep the older bars of the same candles as they were, unless they may have changed. */
  keep(candles) {
    const first = this.bars[0]?.ts;
    if (first === undefined || candles.newer || candles.outdated < first || !(candles.bars.at(-1)?.ts >= first)) return;
    this.prepend({ bars: candles.bars.filter(({ ts }) => ts < first), more: candles.older, reached: candles.reached });
  }

  /**
   * Apply a commit. Returns the changed bars, or null if the bars must be fetched again: a late tick can change an older
   * bar or the newest bar's open, and a commit that removes rows can change any bar.
   */
  apply(commit) {
    if (commit.version <= this.version) return [];
    const parts = commit.bars.map(partial).filter(({ symbol }) => symbol === this.symbol);
    if (commit.version !== this.version + 1 || commit.reload) return this.#outdate(0);
    this.version = commit.version;
    if (this.newer) return parts.some(({ second }) => second < this.end) ? this.#outdate(0) : [];
    const moved = new Set();
    for (const part of parts) {
      if (this.last && !isAfter(part.first, this.last)) return this.#outdate(Math.min(...parts.map(({ second }) => second)));
      moved.add(this.#add(part));
      this.last = part.last;
    }
    return [...moved];
  }

  #outdate(second) {
    this.outdated = Math.floor(second / this.step) * this.step;
    return null;
  }

  #add(part) {
    const ts = Math.floor(part.second / this.step) * this.step;
    const newest = this.bars.at(-1);
    if (newest?.ts === ts) {
      newest.high = larger(newest.high, part.high);
      newest.low = smaller(newest.low, part.low);
      newest.close = part.close;
      newest.turnover = (newest.turnover ?? Number(newest.vwap ?? 0) * Number(newest.volume ?? 0)) + (part.turnover ?? 0);
      newest.volume = sum(newest.volume, part.volume);
      newest.ticks += part.ticks;
      return newest;
    }
    const { open, high, low, close, volume, ticks, turnover } = part;
    const bar = { ts, open, high, low, close, volume, ticks, turnover: turnover ?? 0 };
    this.bars.push(bar);
    return bar;
  }
}
