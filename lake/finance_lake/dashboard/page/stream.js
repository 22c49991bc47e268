// The server's events. After a lost connection the next one resumes after the last version seen.
const QUIET_MS = 5000; // a status comes every 2 s
const SILENCE_MS = 8000;
const AGAIN_MS = 1000;

export class Stream {
  #source = null;
  #heard = 0;
  #again = 0;

  /** @param on handlers: commit, status and reset get events, link gets "open" or "lost", quiet whether events are overdue */
  constructor(on) {
    this.on = on;
    this.lake = null;
    this.version = null;
    // Detect a dead connection, such as after a laptop's sleep: the server sends a status every 2 s.
    setInterval(() => {
      if (!this.#source) return;
      const silence = Date.now() - this.#heard;
      this.on.quiet(silence > QUIET_MS);
      if (silence > SILENCE_MS) this.#lose();
    }, 1000);
  }

  open(lake, version) {
    this.lake = lake;
    this.version = version;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#again);
    this.#source?.close();
    const position = new URLSearchParams();
    if (this.lake !== null) position.set("lake", this.lake);
    if (this.version !== null) position.set("after", this.version);
    const source = new EventSource(`api/events?${position}`);
    this.#source = source;
    this.#heard = Date.now();
    const listen = (name, handle) => source.addEventListener(name, (event) => {
      if (source !== this.#source) return;
      this.#heard = Date.now();
      handle(JSON.parse(event.data));
    });
    source.onopen = () => this.on.link("open");
    source.onerror = () => source === this.#source && this.#lose();
    listen("status", (status) => this.on.status(status));
    listen("reset", ({ lake, version }) => {
      this.lake = lake;
      this.version = version;
      this.on.reset(version);
    });
    listen("commit", (commit) => {
      if (commit.version <= this.version) return;
      this.version = commit.version;
      this.on.commit(commit);
    });
  }

  #lose() {
    this.#source?.close();
    this.#source = null;
    this.on.link("lost");
    this.#again = setTimeout(() => this.#connect(), AGAIN_MS);
  }
}
