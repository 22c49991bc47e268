// Candles or a line, and the averages over them: the user's choice, in the page's address.
import { got, put } from "./address.js";
import { byId } from "./dom.js";

export function dressing(chart) {
  const [line, averages] = [byId("line"), byId("averages")];
  line.checked = got("kind") === "line";
  averages.checked = got("averages") === "on";
  const dress = () => chart.dress({ kind: line.checked ? "line" : "candles", isAveraged: averages.checked });
  for (const box of [line, averages]) {
    box.addEventListener("change", () => {
      put({ kind: line.checked ? "line" : null, averages: averages.checked ? "on" : null });
      dress();
    });
  }
  dress();
}
