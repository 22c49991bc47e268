// Lines drawn over the candles. Pure but for the shown zone; floats are exact enough to draw.
import { offset } from "./zone.js";

/** Return the simple moving average of the closes over so many bars, as points; none before there are enough bars. */
export function movingAverage(bars, length) {
  const points = [];
  let sum = 0;
  bars.forEach(({ ts, close }, index) => {
    sum += Number(close);
    if (index >= length) sum -= Number(bars[index - length].close);
    if (index >= length - 1) points.push({ time: ts, value: sum / length });
  });
  return points;
}

const DAY = 86400;

/**
 * Return the volume-weighted average price since the begin of each day of the shown zone, as points.
 * @param whole whether the first day is whole; otherwise its average would be wrong, and it has no points
 */
export function dayVwap(bars, whole) {
  const points = [];
  let [day, turnover, volume] = [null, 0, 0];
  let drawn = whole;
  for (const bar of bars) {
    const today = Math.floor((bar.ts + offset(bar.ts)) / DAY);
    if (today !== day) {
      drawn ||= day !== null;
      [day, turnover, volume] = [today, 0, 0];
    }
    turnover += turnoverOf(bar);
    volume += Number(bar.volume ?? 0);
    if (drawn && volume > 0) points.push({ time: bar.ts, value: turnover / volume });
  }
  return points;
}

/** Return the last close of other bars at or before each bar, as points. */
export function asOfEach(bars, others) {
  const points = [];
  let index = -1;
  for (const { ts } of bars) {
    while (others[index + 1]?.ts <= ts) index += 1;
    if (index >= 0) points.push({ time: ts, value: Number(others[index].close) });
  }
  return points;
}

/** Return the sum of price times size of a bar: what commits have added up, or its VWAP times its volume. */
function turnoverOf(bar) {
  return bar.turnover ?? (bar.vwap ? Number(bar.vwap) * Number(bar.volume) : 0);
}
