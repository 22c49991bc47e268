// Finds a symbol: `/` goes to the field, Enter shows the first match, Escape clears it.
import { byId } from "./dom.js";

export function search(watch, pick) {
  const field = byId("search");
  const filter = () => watch.filter(field.value);
  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      pick(watch.matches(field.value)[0] ?? field.value.trim());
    }
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.stopPropagation();
    field.value = "";
    filter();
    field.blur();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input:not([type=radio], [type=checkbox], [type=range]), textarea, select")) return;
    event.preventDefault();
    location.hash = "chart";
    field.focus();
  });
}
