// The keyboard: one key for each thing that the pointer does.
import { byId } from "./dom.js";
import { PAGES } from "./pages.js";

/** @param act what keys do: symbol, size and scroll take a step, the others nothing */
export function keys(act) {
  const does = {
    j: () => act.symbol(1),
    k: () => act.symbol(-1),
    "]": () => act.size(1),
    "[": () => act.size(-1),
    d: act.theme,
    Escape: act.now,
    ...Object.fromEntries(PAGES.map((name, index) => [index + 1, () => { location.hash = name; }])),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && event.target.closest("input[type=text], textarea, select")) return;
    does[event.key]?.();
  });
  byId("candles").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") act.scroll(event.key === "ArrowLeft" ? -5 : 5);
  });
}
