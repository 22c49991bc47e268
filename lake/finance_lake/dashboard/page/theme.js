// Dark or light: the system's setting, until the user chooses.
import { byId } from "./dom.js";

/** @param paint called when the colours change; returns a function that switches them */
export function theme(paint) {
  const { dataset } = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = localStorage.getItem("theme");
  if (chosen) {
    dataset.theme = chosen;
    paint();
  }
  const change = () => {
    const dark = dataset.theme ? dataset.theme === "dark" : system.matches;
    dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", dataset.theme);
    paint();
  };
  byId("theme").addEventListener("click", change);
  system.addEventListener("change", paint);
  return change;
}
