// The pages, by their names in the address, and what stands in the chart's place where there is nothing to draw.
import { byId, say } from "./dom.js";

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

/** Say whether there is a lake with ticks, and if not, why. */
export function showEmpty({ version, rows, problem, unreadable = false }) {
  document.body.dataset.empty = version === null || rows === 0;
  say(byId("none"), unreadable ? "The lake cannot be read" : "No ticks yet");
  say(byId("why"), problem ?? "The lake is there, and nothing has reached it yet.");
  byId("start").hidden = unreadable;
  showPage();
}
