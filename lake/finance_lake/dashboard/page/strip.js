// The status strip: the state of the lake now, or at an earlier version. Ages and lag grow between updates.
import { count, duration } from "./format.js";
import { setText } from "./dom.js";

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
    this.#services(status.services, status.paused ?? {});
    if (status.version === null) return this.#clear();
    this.#committed = status.committed;
    this.#setText("version", count(status.version));
    this.#setText("rows", count(status.rows));
    this.#setText("rate", status.rate === null ? "–" : count(Math.round(status.rate)));
    this.#setText("quarantined", count(status.quarantined));
    this.#age();
  }

  commit(commit) {
    this.#setText("version", count(commit.version));
    this.#setText("rows", count(commit.total));
    if (commit.lag === null || this.#status === null) return;
    this.#committed = commit.committed;
    this.#status = { ...this.#status, lag: commit.lag, waiting: false };
    this.#age();
  }

  /** Mark the figures as current or stale. */
  fresh(fresh) {
    this.#list.dataset.stale = !fresh;
  }

  #age() {
    const status = this.#status;
    if (status === null || this.#committed === null) return;
    const now = Date.now() + this.#skew;
    const age = now - this.#committed;
    this.#setText("age", `${duration(age)} ago`, age > LATE_MS ? "late" : "");
    const down = status.services?.["spark-job"] === "down";
    this.#setText("lag", duration(status.waiting ? status.lag + now - status.now : status.lag), status.waiting ? (down ? "bad" : "late") : "");
    this.#verdict(status.verdict, now);
  }

  #services(services, paused) {
    if (services === null) return this.#setText("services", "–");
    const down = Object.keys(services).filter((name) => services[name] !== "up");
    const waiting = Object.keys(paused);
    const text = [down.length ? `${down.join(", ")} down` : "", waiting.length ? `${waiting.join(", ")} paused` : ""];
    this.#setText("services", text.filter(Boolean).join("; ") || "up", down.length ? "bad" : waiting.length ? "late" : "good");
    this.#fields.services.title = waiting.map((name) => `${name} is paused: ${paused[name]}`).join("\n");
  }

  #verdict(verdict, now) {
    if (!verdict) return this.#setText("verdict", "none yet: make verify");
    const age = now - Date.parse(verdict.at);
    const of = `${verdict.version === null ? "" : `version ${count(verdict.version)}, `}${duration(age)} ago`;
    const figures = `${count(verdict.lost)} lost, ${count(verdict.doubled)} doubled`;
    const good = age < OLD_PROOF_MS ? "good" : "";
    this.#setText("verdict", `${verdict.code ? `${verdict.verdict}: ` : ""}${figures} · ${of}${verdict.broker ? "" : ", files only"}`,
      verdict.code === 0 ? good : verdict.code === 10 ? "late" : "bad");
    this.#fields.verdict.title = `${verdict.sentence}, at ${verdict.at}`;
  }

  #clear() {
    this.#committed = null;
    for (const name of Object.keys(this.#fields)) if (name !== "services") this.#setText(name, "–");
  }

  #setText(name, text, state = "") {
    setText(this.#fields[name], text);
    this.#fields[name].dataset.state = state;
  }
}
