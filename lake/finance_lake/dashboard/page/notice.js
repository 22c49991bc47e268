// What went wrong, in a line above the page. A part of the page takes back its own words only.
import { byId, say } from "./dom.js";
import { isEmpty } from "./pages.js";

const problems = new Map(); // by part of the page, the newest last

export function notice(part, text) {
  problems.delete(part);
  if (text) problems.set(part, text);
  const newest = [...problems.values()].at(-1) ?? "";
  byId("notice").hidden = !newest;
  say(byId("notice"), newest);
}

/** Give what an action gives; null where it fails, and say why. */
export async function trying(part, action) {
  try {
    const answer = await action();
    notice(part, "");
    return answer;
  } catch (error) {
    // A server that is away is told of in its own place; a lake that is not there as well.
    if (!(error instanceof TypeError) && !isEmpty()) notice(part, error.message);
    return null;
  }
}
