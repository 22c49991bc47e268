// Time travel: the table as of an earlier version or a time.
import { byId, debounce, setText } from "./dom.js";
import { count, stamp } from "./format.js";

const NOW = { version: null, text: "now" };

export class Travel {
  /** @param go called with a version or a time as text, or null for now */
  constructor(go) {
    this.go = go;
    this.shown = NOW;
    this.slider = byId("slider");
    this.asOf = byId("as-of");
    this.slider.addEventListener("input", () => {
      setText(byId("when"), `version ${count(Number(this.slider.value))}`);
      this.#soon(this.slider.value);
    });
    byId("travel").addEventListener("submit", (event) => {
      event.preventDefault();
      this.go(this.asOf.value.trim() || null);
    });
    byId("live").addEventListener("click", () => this.go(null));
  }

  #soon = debounce((version) => this.go(Number(version) === Number(this.slider.max) ? null : version), 120);

  /** Set the range of versions. */
  reach(newest, oldest) {
    if (oldest !== undefined) this.slider.min = oldest;
    this.slider.max = newest;
    if (this.shown === NOW && document.activeElement !== this.slider) this.slider.value = newest;
  }

  now() {
    this.#soon.cancel();
    this.asOf.value = "";
    this.#show(NOW);
  }

  then({ version, committed }) {
    this.#show({ version, text: `version ${count(version)}, committed ${stamp(committed)}` });
  }

  /** Restore the controls: the requested version cannot be shown. */
  stay() {
    this.#show(this.shown);
  }

  #show(shown) {
    this.shown = shown;
    this.slider.value = shown.version ?? this.slider.max;
    setText(byId("when"), shown.text);
    byId("live").disabled = shown === NOW;
    document.documentElement.dataset.then = shown === NOW ? "" : "then";
  }
}
