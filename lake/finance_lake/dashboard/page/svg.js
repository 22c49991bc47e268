// Small charts, as SVG elements.
const MIN_WIDTH = 280;
const NAMESPACE = "http://www.w3.org/2000/svg";

function shape(name, attributes, text = "") {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Draw points, [place, value] with ascending places, as a line; null for fewer than two. */
export function sparkline(points, width = 64, height = 18) {
  if (points.length < 2) return null;
  const values = points.map(([, value]) => Number(value));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [begin, end] = [points[0][0], points.at(-1)[0]];
  const line = points.map(([at], index) => {
    const x = ((at - begin) / (end - begin)) * (width - 2) + 1;
    const y = high === low ? height / 2 : height - 2 - ((values[index] - low) / (high - low)) * (height - 4);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const drawn = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: values.at(-1) < values[0] ? "falls" : "rises" });
  drawn.append(shape("polyline", { points: line.join(" "), fill: "none" }));
  return drawn;
}

/**
 * Draw columns of stacked parts.
 * @param columns [{label, title, parts: [{value, kind}]}]; kind is a number that the style sheet gives a colour
 * @param room width of the element that will hold it, in pixels
 */
export function columnChart(columns, description, room, height = 150) {
  const width = Math.max(room, MIN_WIDTH);
  const [bottom, top, left] = [18, 8, 48];
  const most = Math.max(...columns.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0)), 0) || 1;
  const step = (width - left) / Math.max(columns.length, 1);
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description, class: "columns" });
  const scale = (value) => (value / most) * (height - bottom - top);
  for (const part of [0, 0.5, 1]) {
    const y = height - bottom - part * (height - bottom - top);
    drawn.append(shape("line", { x1: left, x2: width, y1: y, y2: y }), shape("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, short(most * part)));
  }
  const every = Math.max(1, Math.ceil((columns.length * 100) / (width - left)));
  columns.forEach(({ label, title, parts }, index) => {
    const column = shape("g", {});
    column.append(shape("title", {}, title));
    let y = height - bottom;
    for (const { value, kind } of parts) {
      y -= scale(value);
      column.append(shape("rect", { x: left + index * step + step * 0.1, y, width: Math.min(step * 0.8, 48), height: scale(value), "data-kind": kind }));
    }
    drawn.append(column);
    const isInside = left + index * step + 80 <= width;
    if (index % every === 0 && isInside) drawn.append(shape("text", { x: left + index * step + step * 0.1, y: height - 4 }, label));
  });
  return drawn;
}

const short = (value) => new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
