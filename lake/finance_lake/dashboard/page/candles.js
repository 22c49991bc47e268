// The candles of one symbol, and how a commit moves them. Pure: no page, no network.
import { larger, smaller, sum } from "./decimal.js";

const SECONDS = { s: 1, m: 60, h: 3600, d: 86400 };

export const seconds = (size) => Number(size.slice(0, -1)) * SECONDS[size.at(-1)];

/** Whether a tick with this order key comes after another: when it happened, then its place in the topic. */
export function isAfter(one, other) {
  for (let index = 0; index < one.length; index += 1) {
    if (one[index] !== other[index]) return one[index] > other[index];
  }
  return false;
}

/** A bar of a commit, as the server sends it. */
export function partial([symbol, second, first, last, open, high, low, close, volume, ticks]) {
  return { symbol, second, first, last, open, high, low, close, volume, ticks };
}

export class Candles {
  /** @param answer of /api/bars: the bars as of a version, and the order key of the newest tick. */
  constructor(answer) {
    this.symbol = answer.symbol;
    this.step = seconds(answer.size);
    this.version = answer.version;
    this.last = answer.last;
    this.bars = answer.bars;
  }

  /**
   * Take a commit in. Returns the bars that it moved, or null where they have to be asked for anew: a late tick changes
   * a bar in a way that sums do not tell, and a rewritten table any of them.
   */
  take(commit) {
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
      newest.volume = sum(newest.volume, part.volume);
      newest.ticks += part.ticks;
      return newest;
    }
    const { open, high, low, close, volume, ticks } = part;
    const bar = { ts, open, high, low, close, volume, ticks };
    this.bars.push(bar);
    return bar;
  }
}
