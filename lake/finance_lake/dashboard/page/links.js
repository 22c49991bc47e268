// Points the links to JSON at what the page shows.
import { addressOf } from "./ask.js";
import { chosenReason } from "./rejects.js";

export function showLinks({ symbol, size, asOf }) {
  const parameters = { bars: { symbol, size }, quarantine: { reason: chosenReason() } };
  for (const link of document.querySelectorAll("[data-panel]")) {
    const { panel } = link.dataset;
    link.href = addressOf(panel, { ...parameters[panel], as_of: asOf });
  }
}
