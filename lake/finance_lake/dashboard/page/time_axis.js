// The chart's time axis in the shown zone: its days begin at that zone's midnight.
import { createChartEx, defaultHorzScaleBehavior } from "./vendor/lightweight-charts.js";
import { stamp } from "./format.js";
import { offset, zoned } from "./zone.js";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
// By the library's type of mark: year, month, day, time, time with seconds.
const LABELS = [
  (text) => text.slice(0, 4),
  (text) => MONTHS[Number(text.slice(5, 7)) - 1],
  (text) => `${Number(text.slice(8, 10))} ${MONTHS[Number(text.slice(5, 7)) - 1]}`,
  (text) => text.slice(11, 16),
  (text) => text.slice(11, 19),
];

class ZonedTimes extends defaultHorzScaleBehavior() {
  /** Weigh the marks by the time in the shown zone, so that its midnights stand out. */
  fillWeightsForPoints(points, start) {
    const first = Math.max(0, start - 1);
    const shifted = points.slice(first).map((point) => (
      { ...point, time: this.convertHorzItemToInternal(point.originalTime + offset(point.originalTime)) }
    ));
    super.fillWeightsForPoints(shifted, start - first);
    for (let index = start; index < points.length; index += 1) points[index].timeWeight = shifted[index - first].timeWeight;
  }
}

/**
 * Create a chart whose times are seconds since 1970.
 * @param isDaily whether its bars are days of UTC, which have the same dates in every zone
 */
export function zonedChart(container, options, isDaily = () => false) {
  const text = (ts) => (isDaily() ? new Date(ts * 1000).toISOString() : zoned(ts * 1000));
  return createChartEx(container, new ZonedTimes(), {
    ...options,
    localization: { dateFormat: "yyyy-MM-dd", timeFormatter: (ts) => (isDaily() ? text(ts).slice(0, 10) : stamp(ts * 1000)) },
    timeScale: { ...options.timeScale, tickMarkFormatter: (ts, type) => LABELS[type](text(ts)) },
  });
}
