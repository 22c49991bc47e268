// The strip: how the lake is at this moment, or was. What is true of a moment grows old with it.
import { count, duration } from "./format.js";
import { say } from "./dom.js";

const LATE_MS = 15000;
const OLD_PROOF_MS = 3600000;

export class Strip {
  #list;
  #fields;
  #status = null;
  #committed = null;
  #skew = 0;

  constructor(list) {
    this.#list = list;
    this.#fields = Object.fromEntries([...list.querySelectorAll("[data-of]")].map((field) => [field.dataset.of, field]));
    setInterval(() => this.#age(), 500);
  }

  status(status) {
    this.#skew = status.now - Date.now();
    this.#status = status;
    this.#services(status.services);
    if (status.version === null) return this.#clear();
    this.#committed = status.committed;
    this.#say("version", count(status.version));
    this.#say("rows", count(status.rows));
    this.#say("rate", status.rate === null ? "–" : count(Math.round(status.rate)));
    this.#say("quarantined", count(status.quarantined));
    this.#age();
  }

  commit(commit) {
    this.#say("version", count(commit.version));
    this.#say("rows", count(commit.total));
    if (commit.lag === null || this.#status === null) return;
    this.#committed = commit.committed;
    this.#status = { ...this.#status, lag: commit.lag, waiting: false };
    this.#age();
  }

  /** Whether the figures are of now: a page without news must not look like one. */
  fresh(fresh) {
    this.#list.dataset.stale = !fresh;
  }

  #age() {
    const status = this.#status;
    if (status === null || this.#committed === null) return;
    const now = Date.now() + this.#skew;
    const age = now - this.#committed;
    this.#say("age", `${duration(age)} ago`, age > LATE_MS ? "late" : "");
    const down = status.services?.["spark-job"] === "down";
    this.#say("lag", duration(status.waiting ? status.lag + now - status.now : status.lag), status.waiting ? (down ? "bad" : "late") : "");
    this.#verdict(status.verdict, now);
  }

  #services(services) {
    if (services === null) return this.#say("services", "–");
    const down = Object.keys(services).filter((name) => services[name] !== "up");
    this.#say("services", down.length ? `${down.join(", ")} down` : "up", down.length ? "bad" : "good");
  }

  #verdict(verdict, now) {
    if (!verdict) return this.#say("verdict", "none yet: make verify");
    const age = now - Date.parse(verdict.at);
    const of = `${verdict.version === null ? "" : `version ${count(verdict.version)}, `}${duration(age)} ago`;
    const figures = `${count(verdict.lost)} lost, ${count(verdict.doubled)} doubled`;
    const good = age < OLD_PROOF_MS ? "good" : "";
    this.#say("verdict", `${verdict.code ? `${verdict.verdict}: ` : ""}${figures} · ${of}${verdict.broker ? "" : ", files alone"}`,
      verdict.code === 0 ? good : verdict.code === 10 ? "late" : "bad");
    this.#fields.verdict.title = `${verdict.sentence}, at ${verdict.at}`;
  }

  #clear() {
    this.#committed = null;
    for (const name of Object.keys(this.#fields)) if (name !== "services") this.#say(name, "–");
  }

  #say(name, text, state = "") {
    say(this.#fields[name], text);
    this.#fields[name].dataset.state = state;
  }
}
