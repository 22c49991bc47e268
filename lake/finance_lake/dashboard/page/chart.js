// Draws the candles.
import { CandlestickSeries, ColorType, HistogramSeries, LineSeries, createChart } from "./vendor/lightweight-charts.js";
import { Breaks, breaksOf } from "./breaks.js";
import { setText } from "./dom.js";
import { legend } from "./format.js";
import { dayVwap, movingAverage } from "./indicators.js";

const MIN_BAR_PX = 4; // narrower bars are hard to tell apart
const MIN_FITTED = 20; // the width has room for so many bars at least, or single ones would be too wide
const NEAR = 30; // bars left of the view at which older ones are requested
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
  #drawn = 0; // bars, also while new ones are being added to the same array
  #hovered; // when the bar under the pointer begins
  #subject = null; // what is drawn, as text
  #isFitted = true; // until the user scrolls or zooms
  #candlesShown = null; // the candles that are drawn
  #overlays = {};
  #breaks = new Breaks(() => style("--line-strong"));
  kind = "candles"; // or line
  isAveraged = false;

  /**
   * @param legend element that shows the bar under the pointer, or else the newest
   * @param older called when the user comes near the oldest bar
   */
  constructor(container, legend, older = () => {}) {
    this.container = container;
    this.legend = legend;
    // The library's logo adds a style element, which the page's policy forbids. The page's footer has the attribution.
    this.#chart = createChart(container, { autoSize: true, layout: { attributionLogo: false }, timeScale: { rightOffset: MARGIN } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2 });
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false }, 1);
    this.#overlays = Object.fromEntries(["line", "vwap", "short", "long"].map((name) => [name, this.#chart.addSeries(LineSeries, { ...OVERLAY, ...(name === "line" && { lineWidth: 2 }) })]));
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
      if (range && !this.#isFitted && range.from < NEAR && this.#candlesShown?.older) older();
    });
    for (const name of ["pointerdown", "wheel"]) container.addEventListener(name, () => { this.#isFitted = false; }, { passive: true });
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
    for (const [name, colour] of [["line", "--accent"], ["vwap", "--warn"], ["short", "--accent"], ["long", "--average"]]) {
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
    const averaged = this.isAveraged && bars.length > 0;
    this.#overlays.line.setData(this.kind === "line" ? bars.map(({ ts, close }) => ({ time: ts, value: Number(close) })) : []);
    this.#overlays.vwap.setData(averaged && step < 86400 ? dayVwap(bars, !older) : []);
    this.#overlays.short.setData(averaged ? movingAverage(bars, AVERAGES.short) : []);
    this.#overlays.long.setData(averaged ? movingAverage(bars, AVERAGES.long) : []);
    const breaks = breaksOf(bars, step);
    this.#breaks.show(breaks);
    this.container.dataset.breaks = breaks.length;
    this.container.dataset.kind = this.kind;
    this.container.dataset.averaged = averaged;
  }

  /** Draw the same candles with older ones before them; the view stays where it is. */
  extend(candles) {
    this.#candles.setData(candles.bars.map(candle));
    this.#volume.setData(candles.bars.map((bar) => this.#bar(bar)));
    this.#describe(candles);
    this.#dress();
    this.#fit();
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
    this.#isFitted ||= subject !== this.#subject;
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
    this.#isFitted = false;
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
    dataset.close = newest?.close ?? "";
    dataset.ticks = candles.bars.reduce((sum, { ticks }) => sum + ticks, 0);
    dataset.newest = newest ? JSON.stringify(newest) : "";
    this.container.setAttribute("aria-label", newest
      ? `Candles of ${candles.symbol} with volume: ${candles.bars.length} bars, the newest closes at ${newest.close}`
      : `No candles of ${candles.symbol}`);
    [this.#shown, this.#step, this.#drawn] = [candles.bars, candles.step, candles.bars.length];
    this.#explain();
  }

  #explain() {
    const bar = this.#shown.find(({ ts }) => ts === this.#hovered) ?? this.#shown.at(-1);
    setText(this.legend, bar ? legend(bar, this.#step) : "");
  }
}

// Floats are exact enough to draw.
function candle({ ts, open, high, low, close }) {
  return { time: ts, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
}
