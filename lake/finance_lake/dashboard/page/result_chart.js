// A result as a chart: lines over its first column of times, one for each column of numbers or for each text beside it; without
// times, columns of the first numbers by the first texts.
import { ColorType, LineSeries } from "./vendor/lightweight-charts.js";
import { columnChart } from "./svg.js";
import { zonedChart } from "./time_axis.js";

const NUMBER = /^(u?int|float|double|decimal)/;
const TIME = /^(timestamp|date)/;
const MAX_LINES = 8;
const MAX_COLUMNS = 40;

/** Return what can be drawn of an answer: {time, label, values}, places of its columns; null for nothing. */
export function drawable({ columns, rows }) {
  const places = (test) => columns.flatMap(({ type }, place) => (test(type) ? [place] : []));
  const [values, times] = [places((type) => NUMBER.test(type)), places((type) => TIME.test(type))];
  const labels = places((type) => !NUMBER.test(type) && !TIME.test(type));
  if (rows.length < 2 || values.length === 0 || (times.length === 0 && labels.length === 0)) return null;
  return { time: times[0] ?? null, label: labels[0] ?? null, values };
}

export class ResultChart {
  #chart = null;

  constructor(container) {
    this.container = container;
  }

  clear() {
    this.#chart?.remove();
    this.#chart = null;
    this.container.replaceChildren();
    this.container.hidden = true;
  }

  draw(answer) {
    this.clear();
    const how = drawable(answer);
    if (!how) return;
    this.container.hidden = false;
    if (how.time === null) this.container.append(categories(answer, how, this.container.clientWidth));
    else this.#lines(linesOf(answer, how));
  }

  #lines(lines) {
    const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    this.#chart = zonedChart(this.container, {
      autoSize: true,
      layout: { attributionLogo: false, background: { type: ColorType.Solid, color: style("--panel") }, textColor: style("--dim"), fontFamily: style("--sans"), fontSize: 11 },
      grid: { vertLines: { color: style("--grid") }, horzLines: { color: style("--grid") } },
      timeScale: { timeVisible: true, secondsVisible: true, borderColor: style("--grid") },
      rightPriceScale: { borderColor: style("--grid") },
    });
    lines.forEach(({ name, points }, index) => {
      const series = this.#chart.addSeries(LineSeries, { title: name, color: style(`--kind-${index}`), lineWidth: 2, priceLineVisible: false });
      series.setData(points);
    });
    this.#chart.timeScale().fitContent();
    this.container.dataset.lines = lines.length;
  }
}

/** Return the lines, {name, points}; of several rows at one time the last counts. */
function linesOf({ columns, rows }, { time, label, values }) {
  const lines = new Map();
  const shown = label === null ? values : values.slice(0, 1);
  for (const row of rows) {
    const at = Math.floor(Date.parse(/[Z+]|T.*-/.test(row[time] ?? "") ? row[time] : `${row[time]}Z`) / 1000);
    if (Number.isNaN(at)) continue;
    for (const place of shown) {
      const name = label === null ? columns[place].name : String(row[label]);
      if (row[place] === null || (!lines.has(name) && lines.size >= MAX_LINES)) continue;
      if (!lines.has(name)) lines.set(name, new Map());
      lines.get(name).set(at, Number(row[place]));
    }
  }
  return [...lines].map(([name, points]) => (
    { name, points: [...points].sort(([one], [other]) => one - other).map(([at, value]) => ({ time: at, value })) }
  ));
}

function categories({ columns, rows }, { label, values: [place] }, width) {
  return columnChart(rows.slice(0, MAX_COLUMNS).map((row) => ({
    label: String(row[label]).slice(0, 14),
    title: `${row[label]}: ${row[place]}`,
    parts: [{ value: Math.max(0, Number(row[place])), kind: 0 }],
  })), `${columns[place].name} by ${columns[label].name}`, width, 200);
}
