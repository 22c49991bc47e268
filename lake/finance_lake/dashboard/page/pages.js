// The pages, by their names in the address, and the text shown instead of the chart when there is nothing to draw.
import { byId, setText } from "./dom.js";

export const PAGES = ["chart", "sql", "quarantine", "commits"];
export const page = () => (PAGES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "chart");
export const isEmpty = () => document.body.dataset.empty === "true";

export function showPage() {
  for (const name of PAGES) byId(name).hidden = name !== page() || (name === "chart" && isEmpty());
  byId("empty").hidden = page() !== "chart" || !isEmpty();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Show why there is nothing to draw, or the chart if the lake has ticks. */
export function showEmpty({ version, rows, problem, unreadable = false }) {
  document.body.dataset.empty = version === null || rows === 0;
  setText(byId("none"), unreadable ? "The lake cannot be read" : "No ticks yet");
  setText(byId("why"), problem ?? "The lake exists, but has no ticks yet.");
  byId("start").hidden = unreadable;
  showPage();
}
