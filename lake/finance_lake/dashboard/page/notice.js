// What went wrong, in a line above the page.
import { byId, say } from "./dom.js";
import { isEmpty } from "./pages.js";

export function notice(text) {
  byId("notice").hidden = !text;
  say(byId("notice"), text);
}

/** Give what an action gives; null where it fails, and say why. */
export async function trying(action) {
  try {
    const answer = await action();
    notice("");
    return answer;
  } catch (error) {
    // A server that is away is told of in its own place; a lake that is not there as well.
    if (!(error instanceof TypeError) && !isEmpty()) notice(error.message);
    return null;
  }
}
