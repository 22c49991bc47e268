// The state beside the page's title: live only while updates arrive and the job runs and keeps up.
import { clock, count } from "./format.js";

/** @returns [state, text]; the state is good, late, bad, then or none */
export function health({ connection, quiet, status, asOf }) {
  const since = status ? `, as of ${clock(status.now)}` : "";
  if (connection === "lost") return ["bad", `server unreachable, retrying${since}`];
  if (connection === "opening" || status === null) return ["none", "connecting"];
  if (quiet) return ["late", `no updates${since}`];
  if (asOf !== null) return ["then", `viewing version ${count(status.version)}`];
  if (status.unreadable) return ["bad", "lake unreadable"];
  if (status.version === null) return ["none", "no lake"];
  if (status.services === null) return ["none", "connecting"];
  if (status.services["spark-job"] !== "up") return ["bad", "spark-job down"];
  if (status.waiting) return ["late", "behind"];
  if (status.rows === 0) return ["none", "no ticks yet"];
  return ["good", "live"];
}
