// The links to JSON lead to what is looked at.
import { addressOf } from "./ask.js";
import { chosenReason } from "./lists.js";

export function showLinks({ symbol, size, asOf }) {
  const words = { bars: { symbol, size }, quarantine: { reason: chosenReason() } };
  for (const link of document.querySelectorAll("[data-panel]")) {
    const { panel } = link.dataset;
    link.href = addressOf(panel, { ...words[panel], as_of: asOf });
  }
}
