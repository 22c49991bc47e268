// Draws the candles.
import { CandlestickSeries, ColorType, HistogramSeries, createChart } from "./vendor/lightweight-charts.js";
import { setText } from "./dom.js";
import { legend } from "./format.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  #chart;
  #candles;
  #volume;
  #shown = [];
  #step = 0;
  #hovered; // when the bar under the pointer begins

  /** @param legend element that shows the bar under the pointer, or else the newest */
  constructor(container, legend) {
    this.container = container;
    this.legend = legend;
    // The library's logo adds a style element, which the page's policy forbids. The page's footer has the attribution.
    this.#chart = createChart(container, { autoSize: true, layout: { attributionLogo: false } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2 });
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false }, 1);
    this.#chart.panes()[0].setStretchFactor(4);
    this.#chart.panes()[1].setStretchFactor(1);
    this.#chart.subscribeCrosshairMove((event) => {
      this.#hovered = event.time;
      this.#explain();
    });
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
      timeScale: { borderColor: grid, timeVisible: true, rightOffset: 4 },
      crosshair: { mode: 0 },
    });
    this.#candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#volume.setData(this.#shown.map((bar) => this.#bar(bar)));
  }

  show(candles) {
    const places = Math.max(2, ...candles.bars.slice(-50).map(({ close }) => close.split(".")[1].length));
    this.#candles.applyOptions({ priceFormat: { type: "price", precision: places, minMove: 10 ** -places } });
    this.#chart.applyOptions({ timeScale: { secondsVisible: candles.step < 60, timeVisible: candles.step < 86400 } });
    this.#candles.setData(candles.bars.map(candle));
    this.#volume.setData(candles.bars.map((bar) => this.#bar(bar)));
    this.#chart.timeScale().setVisibleLogicalRange({ from: candles.bars.length - 90, to: candles.bars.length + 4 });
    this.#describe(candles);
  }

  move(candles, bars) {
    for (const bar of bars) {
      this.#candles.update(candle(bar));
      this.#volume.update(this.#bar(bar));
    }
    this.#describe(candles);
  }

  scroll(bars) {
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
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
    dataset.bars = candles.bars.length;
    dataset.close = newest?.close ?? "";
    dataset.ticks = candles.bars.reduce((sum, { ticks }) => sum + ticks, 0);
    dataset.newest = newest ? JSON.stringify(newest) : "";
    this.container.setAttribute("aria-label", newest
      ? `Candles of ${candles.symbol} with volume: ${candles.bars.length} bars, the newest closes at ${newest.close}`
      : `No candles of ${candles.symbol}`);
    [this.#shown, this.#step] = [candles.bars, candles.step];
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
