// The bar size picker.
import { byId, element } from "./dom.js";

export const SIZES = ["1s", "10s", "1m", "5m", "15m", "1h", "1d"];

/** @param pick called with the chosen size */
export function sizePicker(pick) {
  byId("size").append(...SIZES.map((size) => {
    const label = element("label");
    const radio = element("input", "", { type: "radio", name: "size", value: size, "aria-label": `Bars of ${size}` });
    radio.addEventListener("change", () => pick(size));
    label.append(radio, element("span", size));
    return label;
  }));
}

export function markSize(size) {
  for (const radio of byId("size").querySelectorAll("input")) radio.checked = radio.value === size;
}
