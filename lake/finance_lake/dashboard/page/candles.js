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
  }

  /** Add a page of older bars. */
  prepend({ bars, more, reached }) {
    this.bars.unshift(...bars);
    [this.older, this.reached] = [more, reached];
  }

  /**
   * Apply a commit. Returns the changed bars, or null if the bars must be fetched again: a late tick can change an older
   * bar or the newest bar's open, and a commit that removes rows can change any bar.
   */
  apply(commit) {
    if (commit.version <= this.version) return [];
    if (commit.version !== this.version + 1 || commit.reload) return null;
    this.version = commit.version;
    const moved = new Set();
    for (const part of commit.bars.map(partial)) {
      if (part.symbol !== this.symbol) continue;
      if (this.last && !isAfter(part.first, this.last)) return null;
      moved.add(this.#add(part));
      this.last = part.last;
    }
    return [...moved];
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
