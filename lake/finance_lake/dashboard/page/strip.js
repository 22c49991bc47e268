// The strip: how the lake is at this moment, or was.
import { clock, count, duration, stamp } from "./format.js";
import { say } from "./dom.js";

const LATE_MS = 15000;

export class Strip {
  #fields;
  #committed = null;
  #skew = 0;

  constructor(list) {
    this.#fields = Object.fromEntries([...list.querySelectorAll("[data-of]")].map((field) => [field.dataset.of, field]));
    setInterval(() => this.#age(), 500);
  }

  status(status) {
    this.#skew = status.now - Date.now();
    if (status.version === null) return this.#clear();
    this.#committed = status.committed;
    this.#say("version", count(status.version));
    this.#say("rows", count(status.rows));
    this.#say("rate", status.rate === null ? "–" : count(Math.round(status.rate)));
    this.#say("lag", duration(status.lag));
    this.#say("quarantined", count(status.quarantined));
    this.#verdict(status.verdict, status.now);
    this.#age();
  }

  commit(commit) {
    this.#committed = commit.committed;
    this.#say("version", count(commit.version));
    this.#say("rows", count(commit.total));
    if (commit.lag !== null) this.#say("lag", duration(commit.lag));
    this.#age();
  }

  #age() {
    if (this.#committed === null) return;
    const age = Date.now() + this.#skew - this.#committed;
    this.#say("age", `${duration(age)} ago`);
    this.#fields.age.dataset.state = age > LATE_MS ? "late" : "";
  }

  #verdict(verdict, now) {
    const field = this.#fields.verdict;
    if (!verdict) {
      this.#say("verdict", "none yet: make verify");
      field.dataset.state = "";
      return;
    }
    const at = Date.parse(verdict.at);
    const when = now - at < 86400000 ? clock(at) : stamp(at);
    const figures = `${count(verdict.lost)} lost, ${count(verdict.doubled)} doubled`;
    this.#say("verdict", `${verdict.code ? `${verdict.verdict}: ` : ""}${figures} · ${when}${verdict.broker ? "" : ", files alone"}`);
    field.title = verdict.sentence;
    field.dataset.state = verdict.code === 0 ? "good" : verdict.code === 10 ? "late" : "bad";
  }

  #clear() {
    this.#committed = null;
    for (const name of Object.keys(this.#fields)) this.#say(name, "–");
  }

  #say(name, text) {
    say(this.#fields[name], text);
  }
}
