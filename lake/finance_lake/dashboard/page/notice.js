// Errors, in a line above the page. Each part of the page clears only its own error.
import { byId, setText } from "./dom.js";
import { isEmpty } from "./pages.js";

const problems = new Map(); // by part of the page, the newest last

export function notice(part, text) {
  problems.delete(part);
  if (text) problems.set(part, text);
  const newest = [...problems.values()].at(-1) ?? "";
  byId("notice").hidden = !newest;
  setText(byId("notice"), newest);
}

/** Return the action's result, or null after showing why it failed; `failed` is then called with the reason. */
export async function attempt(part, action, failed = () => {}) {
  try {
    const answer = await action();
    notice(part, "");
    return answer;
  } catch (error) {
    failed(error instanceof TypeError ? "The server cannot be reached." : error.message);
    // An unreachable server and a missing lake are shown elsewhere on the page.
    if (!(error instanceof TypeError) && !isEmpty()) notice(part, error.message);
    return null;
  }
}
