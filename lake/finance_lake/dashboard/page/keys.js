// Keyboard shortcuts for what the pointer can do.
import { byId } from "./dom.js";
import { PAGES } from "./pages.js";

/** @param act actions by name: symbol, size and scroll accept a step, the others nothing */
export function keys(act) {
  const actions = {
    j: () => act.symbol(1),
    k: () => act.symbol(-1),
    "]": () => act.size(1),
    "[": () => act.size(-1),
    d: act.theme,
    f: act.fit,
    g: act.date,
    Escape: act.now,
    ...Object.fromEntries(PAGES.map((name, index) => [index + 1, () => { location.hash = name; }])),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && event.target.closest("input:not([type=radio], [type=checkbox], [type=range]), textarea, select")) return;
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  byId("candles").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") act.scroll(event.key === "ArrowLeft" ? -5 : 5);
  });
}
