// Vertical lines where bars are missing: dotted for a gap, dashed for a break of an hour or more, such as a night.
const HOUR = 3600;
const MOST = 60; // lines in view; with more, only the breaks are drawn, or none

/** Return the bars before which others are missing: {ts, long}. */
export function breaksOf(bars, step) {
  const found = [];
  for (let index = 1; index < bars.length; index += 1) {
    const missing = bars[index].ts - bars[index - 1].ts - step;
    if (missing > 0) found.push({ ts: bars[index].ts, long: missing >= Math.max(HOUR, step) });
  }
  return found;
}

/** A primitive of lightweight-charts that draws the lines below the candles. */
export class Breaks {
  #chart = null;
  #breaks = [];
  #update = () => {};
  #view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => target.useBitmapCoordinateSpace((scope) => this.#draw(scope)) }) };

  constructor(colour) {
    this.colour = colour;
  }

  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#update = requestUpdate;
  }

  paneViews() {
    return [this.#view];
  }

  show(breaks) {
    this.#breaks = breaks;
    this.#update();
  }

  #draw({ context, bitmapSize, horizontalPixelRatio: ratio }) {
    const scale = this.#chart.timeScale();
    const half = scale.options().barSpacing / 2;
    const visible = this.#breaks.map(({ ts, long }) => ({ x: scale.timeToCoordinate(ts), long })).filter(({ x }) => x !== null && x >= 0 && x * ratio <= bitmapSize.width);
    const drawn = visible.length > MOST ? visible.filter(({ long }) => long) : visible;
    if (drawn.length > MOST) return;
    context.save();
    context.strokeStyle = this.colour();
    context.lineWidth = Math.max(1, Math.floor(ratio));
    for (const { x, long } of drawn) {
      context.setLineDash(long ? [6 * ratio, 4 * ratio] : [1 * ratio, 4 * ratio]);
      context.beginPath();
      context.moveTo(Math.round((x - half) * ratio) + 0.5, 0);
      context.lineTo(Math.round((x - half) * ratio) + 0.5, bitmapSize.height);
      context.stroke();
    }
    context.restore();
  }
}
