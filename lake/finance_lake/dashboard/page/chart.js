// Draws the candles.
import { CandlestickSeries, ColorType, HistogramSeries, LineSeries, PriceScaleMode } from "./vendor/lightweight-charts.js";
import { Breaks, breaksOf } from "./breaks.js";
import { setText } from "./dom.js";
import { legend } from "./format.js";
import { asOfEach, dayVwap, movingAverage } from "./indicators.js";
import { span } from "./ranges.js";
import { zonedChart } from "./time_axis.js";

const MIN_BAR_PX = 4; // narrower bars are hard to tell apart
const MIN_FITTED = 20; // the width has room for so many bars at least, or single ones would be too wide
const NEAR = 30; // bars beside the view at which further ones are requested
const OVERLAY = { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
const AVERAGES = { short: 20, long: 50 }; // bars
const MARGIN = 2; // bars' widths that stay empty at the right

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  #chart;
  #candles;
  #volume;
  #shown = [];
  #step = 0;
  #first; // when the first drawn bar begins
  #drawn = 0; // bars, also while new ones are being added to the same array
  #hovered; // when the bar under the pointer begins
  #subject = null; // what is drawn, as text
  #isFitted = true; // until the user scrolls or zooms
  #candlesShown = null; // the candles that are drawn
  #overlays = {};
  #other = null; // bars of the symbol to compare with
  #breaks = new Breaks(() => style("--line-strong"));
  kind = "candles"; // or line
  isAveraged = false;
  isMoved = false; // whether the user has scrolled or zoomed since the view was set

  /**
   * @param legend element that shows the bar under the pointer, or else the newest
   * @param near called with "older" or "newer" when the user comes near the first or the last of the loaded bars
   * @param moved called with the range that the user has moved to, as the address has it
   */
  constructor(container, legend, near, moved) {
    this.container = container;
    this.legend = legend;
    // The library's logo adds a style element, which the page's policy forbids. The page's footer has the attribution.
    this.#chart = zonedChart(container, { autoSize: true, layout: { attributionLogo: false }, timeScale: { rightOffset: MARGIN } }, () => this.#step === 86400);
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2 });
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false }, 1);
    this.#overlays = Object.fromEntries(["line", "vwap", "short", "long", "other"].map((name) => [name, this.#chart.addSeries(LineSeries, { ...OVERLAY, ...((name === "line" || name === "other") && { lineWidth: 2 }) })]));
    this.#candles.attachPrimitive(this.#breaks);
    this.#chart.panes()[0].setStretchFactor(4);
    this.#chart.panes()[1].setStretchFactor(1);
    this.#chart.subscribeCrosshairMove((event) => {
      this.#hovered = event.time;
      this.#explain();
    });
    this.#chart.timeScale().subscribeSizeChange(() => this.#fit());
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      container.dataset.view = range ? `${range.from.toFixed(1)} ${range.to.toFixed(1)}` : "";
      if (!range || this.#isFitted) return;
      if (range.from < NEAR && this.#candlesShown?.older) near("older");
      if (range.to > this.#drawn - NEAR && this.#candlesShown?.newer) near("newer");
      if (this.isMoved && this.#drawn) moved(this.#range(range));
    });
    for (const name of ["pointerdown", "wheel"]) container.addEventListener(name, () => { [this.#isFitted, this.isMoved] = [false, true]; }, { passive: true, capture: true });
    this.paint();
  }

  /** Apply the colours of the page. */
  paint() {
    const [up, down, grid] = [style("--up"), style("--down"), style("--grid")];
    this.colours = { up: style("--up-soft"), down: style("--down-soft") };
    this.#chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: style("--panel") }, textColor: style("--dim"),
        fontFamily: style("--sans"), fontSize: 11, panes: { separatorColor: grid, enableResize: false },
      },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      rightPriceScale: { borderColor: grid },
      timeScale: { borderColor: grid, timeVisible: true },
      crosshair: { mode: 0 },
    });
    this.#candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    for (const [name, colour] of [["line", "--accent"], ["vwap", "--warn"], ["short", "--accent"], ["long", "--average"], ["other", "--other"]]) {
      this.#overlays[name].applyOptions({ color: style(colour) });
    }
    this.#volume.setData(this.#shown.map((bar) => this.#bar(bar)));
  }

  /** Draw a line of closes instead of candles, and VWAP of the day with two moving averages, or not. */
  dress({ kind = this.kind, isAveraged = this.isAveraged }) {
    [this.kind, this.isAveraged] = [kind, isAveraged];
    this.#candles.applyOptions({ visible: kind === "candles" });
    if (this.#candlesShown) this.#dress();
  }

  #dress() {
    const { bars, older, step } = this.#candlesShown;
    const averaged = this.isAveraged && bars.length > 0 && !this.#other;
    this.#overlays.line.setData(this.kind === "line" ? bars.map(({ ts, close }) => ({ time: ts, value: Number(close) })) : []);
    const averages = {
      vwap: averaged && step < 86400 ? dayVwap(bars, !older) : [],
      short: averaged ? movingAverage(bars, AVERAGES.short) : [],
      long: averaged ? movingAverage(bars, AVERAGES.long) : [],
    };
    for (const [name, points] of Object.entries(averages)) {
      this.#overlays[name].setData(points);
      this.container.dataset[name] = points.at(-1)?.value.toFixed(4) ?? "";
    }
    const breaks = breaksOf(bars, step);
    this.#breaks.show(breaks);
    this.container.dataset.breaks = breaks.length;
    this.container.dataset.kind = this.kind;
    this.container.dataset.averaged = averaged;
  }

  /** Draw another symbol's closes beside the candles, both in percent; null for none. */
  compare(bars, symbol) {
    if (!bars && !this.#other) return;
    const isOther = !bars !== !this.#other;
    this.#other = bars;
    this.container.dataset.compare = symbol;
    this.#chart.priceScale("right").applyOptions({ mode: bars ? PriceScaleMode.Percentage : PriceScaleMode.Normal });
    this.#overlays.other.applyOptions({ title: symbol, lastValueVisible: Boolean(bars) });
    const points = bars ? asOfEach(this.#shown, bars) : [];
    this.container.dataset.compared = points.length;
    this.#overlays.other.setData(points);
    if (isOther && this.#candlesShown) this.#dress();
  }

  /** Draw everything again, such as in another time zone. */
  redraw() {
    if (!this.#candlesShown) return;
    const view = this.#chart.timeScale().getVisibleLogicalRange();
    for (const series of [this.#candles, this.#volume, ...Object.values(this.#overlays)]) series.setData([]);
    this.extend(this.#candlesShown);
    if (this.#other) this.compare(this.#other, this.container.dataset.compare);
    if (view) this.#chart.timeScale().setVisibleLogicalRange(view);
  }

  /** Draw the same candles with older or newer ones beside them; the view stays where it is. */
  extend(candles) {
    const scale = this.#chart.timeScale();
    const view = candles.bars[0]?.ts === this.#first ? scale.getVisibleLogicalRange() : null; // newer ones, or the same
    this.#candles.setData(candles.bars.map(candle));
    this.#volume.setData(candles.bars.map((bar) => this.#bar(bar)));
    this.#describe(candles);
    this.#dress();
    if (view && !this.#isFitted) scale.setVisibleLogicalRange(view);
    this.#fit();
  }

  /** Show the bars from one time to another, as far as they are loaded. */
  look(from, to) {
    if (!this.#drawn) return;
    [this.#isFitted, this.isMoved] = [false, false];
    const first = place(this.#shown, from);
    const last = Math.max(first, place(this.#shown, to + 1) - 1);
    const end = last >= this.#drawn - 1 ? Math.max(this.#drawn, MIN_FITTED) - 0.5 + MARGIN : Math.max(last, first + MIN_FITTED) + 0.5;
    this.#chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: end });
  }

  /** Return about how many bars the width has room for. */
  get room() {
    return Math.floor(this.#chart.timeScale().width() / (2 * MIN_BAR_PX));
  }

  /** Fit the bars into the width, also if the user has moved them. */
  fit() {
    [this.#isFitted, this.isMoved] = [true, false];
    this.#fit();
  }

  #range({ from, to }) {
    const first = Math.min(this.#drawn - 1, Math.max(0, Math.ceil(from)));
    if (to >= this.#drawn - 1 && !this.#candlesShown.newer) return String(this.#drawn - first);
    return span(this.#shown[first].ts, this.#shown[Math.max(first, Math.min(this.#drawn - 1, Math.floor(to)))].ts + this.#step);
  }

  /**
   * Draw other candles, or the same ones again. They are fitted into the width when they are new or the user has not moved them.
   * @param subject text that names what is drawn
   */
  show(candles, subject) {
    const places = Math.max(2, ...candles.bars.slice(-50).map(({ close }) => close.split(".")[1].length));
    this.#candles.applyOptions({ priceFormat: { type: "price", precision: places, minMove: 10 ** -places } });
    this.#chart.applyOptions({ timeScale: { secondsVisible: candles.step < 60, timeVisible: candles.step < 86400 } });
    this.#candles.setData(candles.bars.map(candle));
    this.#volume.setData(candles.bars.map((bar) => this.#bar(bar)));
    if (subject !== this.#subject) [this.#isFitted, this.isMoved] = [true, false];
    this.#subject = subject;
    this.#describe(candles);
    this.#dress();
    this.#fit();
  }

  move(candles, bars) {
    const before = this.#drawn;
    for (const bar of bars) {
      this.#candles.update(candle(bar));
      this.#volume.update(this.#bar(bar));
    }
    this.#describe(candles);
    if (this.kind === "line" || this.isAveraged || candles.bars.length !== before) this.#dress();
    if (candles.bars.length !== before) this.#fit();
  }

  scroll(bars) {
    [this.#isFitted, this.isMoved] = [false, true];
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /** Show all bars, or as many of the newest as are wide enough. */
  #fit() {
    const bars = this.#drawn;
    const width = this.#chart.timeScale().width();
    if (!this.#isFitted || bars === 0 || width === 0) return;
    const from = Math.max(0, bars - Math.floor(width / MIN_BAR_PX));
    this.#chart.timeScale().setVisibleLogicalRange({ from: from - 0.5, to: Math.max(bars, MIN_FITTED) - 0.5 + MARGIN });
  }

  #bar({ ts, open, close, volume }) {
    if (volume === null) return { time: ts };
    return { time: ts, value: Number(volume), color: Number(close) < Number(open) ? this.colours.down : this.colours.up };
  }

  // Describes the chart in attributes, for tests and screen readers.
  #describe(candles) {
    const newest = candles.bars.at(-1);
    this.#candlesShown = candles;
    const { dataset } = this.container;
    dataset.symbol = candles.symbol;
    dataset.version = candles.version;
    dataset.size = candles.size;
    dataset.bars = candles.bars.length;
    dataset.oldest = candles.bars[0]?.ts ?? "";
    dataset.older = candles.older;
    dataset.newer = candles.newer;
    dataset.close = newest?.close ?? "";
    dataset.ticks = candles.bars.reduce((sum, { ticks }) => sum + ticks, 0);
    dataset.newest = newest ? JSON.stringify(newest) : "";
    this.container.setAttribute("aria-label", newest
      ? `Candles of ${candles.symbol} with volume: ${candles.bars.length} bars, the newest closes at ${newest.close}`
      : `No candles of ${candles.symbol}`);
    [this.#shown, this.#step, this.#drawn, this.#first] = [candles.bars, candles.step, candles.bars.length, candles.bars[0]?.ts];
    this.#explain();
  }

  #explain() {
    const bar = this.#shown.find(({ ts }) => ts === this.#hovered) ?? this.#shown.at(-1);
    setText(this.legend, bar ? legend(bar, this.#step) : "");
  }
}

/** Return the place of the first bar that begins at or after a time. */
function place(bars, ts) {
  let [low, high] = [0, bars.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bars[middle].ts < ts) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Floats are exact enough to draw.
function candle({ ts, open, high, low, close }) {
  return { time: ts, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
}
