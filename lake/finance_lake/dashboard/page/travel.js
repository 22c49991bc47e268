// Time travel: the table as of an earlier version, or of a time.
import { byId, later, say } from "./dom.js";
import { count, stamp } from "./format.js";

export class Travel {
  /** @param go called with a version or a time as text, or null for now */
  constructor(go) {
    this.go = go;
    this.asOf = null;
    this.slider = byId("slider");
    this.moment = byId("moment");
    this.slider.addEventListener("input", () => {
      say(byId("when"), `version ${count(Number(this.slider.value))}`);
      this.#soon(this.slider.value);
    });
    byId("travel").addEventListener("submit", (event) => {
      event.preventDefault();
      this.go(this.moment.value.trim() || null);
    });
    byId("live").addEventListener("click", () => this.go(null));
  }

  #soon = later((version) => this.go(Number(version) === Number(this.slider.max) ? null : version), 120);

  /** The newest version that there is. */
  reach(newest, oldest) {
    if (oldest !== undefined) this.slider.min = oldest;
    this.slider.max = newest;
    if (this.asOf === null && document.activeElement !== this.slider) this.slider.value = newest;
  }

  now() {
    this.asOf = null;
    this.slider.value = this.slider.max;
    this.moment.value = "";
    this.#show("now", true);
  }

  then(asOf, status) {
    this.asOf = asOf;
    this.slider.value = status.version;
    this.#show(`version ${count(status.version)}, committed ${stamp(status.committed)} UTC`, false);
  }

  #show(text, live) {
    say(byId("when"), text);
    byId("live").disabled = live;
    document.documentElement.dataset.then = live ? "" : "then";
  }
}
