// What the page says of itself beside its name: live is what is heard of now, from a job that runs and keeps up.
import { clock, count } from "./format.js";

/** @returns [state, text]; the state is good, late, bad, then or none */
export function health({ connection, quiet, status, asOf }) {
  const since = status ? `, figures of ${clock(status.now)}` : "";
  if (connection === "lost") return ["bad", `server lost, trying again${since}`];
  if (connection === "opening" || status === null) return ["none", "connecting"];
  if (quiet) return ["late", `no news${since}`];
  if (asOf !== null) return ["then", `then: version ${count(status.version)}`];
  if (status.unreadable) return ["bad", "lake unreadable"];
  if (status.version === null) return ["none", "no lake"];
  if (status.services === null) return ["none", "connecting"];
  if (status.services["spark-job"] !== "up") return ["bad", "spark-job down"];
  if (status.waiting) return ["late", "behind"];
  if (status.rows === 0) return ["none", "no ticks yet"];
  return ["good", "live"];
}
