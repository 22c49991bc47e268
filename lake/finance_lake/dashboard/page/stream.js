// The server's events. The place is the version seen last: whatever breaks, the next connection goes on from there.
const QUIET_MS = 5000; // a status comes every 2 s
const SILENCE_MS = 8000;
const AGAIN_MS = 1000;

export class Stream {
  #source = null;
  #heard = 0;
  #again = 0;

  /** @param on {commit, status, reset, link, quiet}: what is called with what arrives, with open or lost, and whether it is quiet */
  constructor(on) {
    this.on = on;
    this.lake = null;
    this.version = null;
    // A line that is dead without saying so, as after a laptop's sleep: the server is never silent for so long.
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
    const place = new URLSearchParams();
    if (this.lake !== null) place.set("lake", this.lake);
    if (this.version !== null) place.set("after", this.version);
    const source = new EventSource(`api/events?${place}`);
    this.#source = source;
    this.#heard = Date.now();
    const listen = (name, use) => source.addEventListener(name, (event) => {
      if (source !== this.#source) return;
      this.#heard = Date.now();
      use(JSON.parse(event.data));
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
