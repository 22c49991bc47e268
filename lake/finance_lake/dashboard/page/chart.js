// Draws the candles.
import { CandlestickSeries, ColorType, HistogramSeries, createChart } from "./vendor/lightweight-charts.js";
import { setText } from "./dom.js";
import { legend } from "./format.js";

const MIN_BAR_PX = 4; // narrower bars are hard to tell apart
const MIN_FITTED = 20; // the width has room for so many bars at least, or single ones would be too wide
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

  /** @param legend element that shows the bar under the pointer, or else the newest */
  constructor(container, legend) {
    this.container = container;
    this.legend = legend;
    // The library's logo adds a style element, which the page's policy forbids. The page's footer has the attribution.
    this.#chart = createChart(container, { autoSize: true, layout: { attributionLogo: false }, timeScale: { rightOffset: MARGIN } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2 });
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false }, 1);
    this.#chart.panes()[0].setStretchFactor(4);
    this.#chart.panes()[1].setStretchFactor(1);
    this.#chart.subscribeCrosshairMove((event) => {
      this.#hovered = event.time;
      this.#explain();
    });
    this.#chart.timeScale().subscribeSizeChange(() => this.#fit());
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      container.dataset.view = range ? `${range.from.toFixed(1)} ${range.to.toFixed(1)}` : "";
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
    this.#volume.setData(this.#shown.map((bar) => this.#bar(bar)));
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
    this.#fit();
  }

  move(candles, bars) {
    const before = this.#drawn;
    for (const bar of bars) {
      this.#candles.update(candle(bar));
      this.#volume.update(this.#bar(bar));
    }
    this.#describe(candles);
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
    const { dataset } = this.container;
    dataset.symbol = candles.symbol;
    dataset.version = candles.version;
    dataset.size = candles.size;
    dataset.bars = candles.bars.length;
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
