// The page's elements. Whatever came from a record enters as text, never as markup.
export const byId = (id) => document.getElementById(id);

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** Fill a table: columns are {name, text(row), kind}; kind is number, or whole for what must not break. */
export function fill(table, columns, rows) {
  const head = element("tr");
  head.append(...columns.map(({ name, kind }) => element("th", name, { scope: "col", ...(kind && { class: kind }) })));
  const body = element("tbody");
  body.append(...rows.map((row) => {
    const line = element("tr");
    line.append(...columns.map(({ text, kind }) => element("td", text(row), kind ? { class: kind } : {})));
    return line;
  }));
  const thead = element("thead");
  thead.append(head);
  table.replaceChildren(thead, body);
}

export function choose(select, values, chosen) {
  const known = [...select.options].map((option) => option.value).join("\n");
  if (known !== values.join("\n")) select.replaceChildren(...values.map((value) => element("option", value, { value })));
  if (values.includes(chosen)) select.value = chosen;
}

/** Run it when nothing has called for ms: for what somebody is still moving. */
export function debounce(action, ms) {
  let timer = 0;
  const call = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), ms);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

/** Run it ms after the first call, and never twice at once: for what may call without end. */
export function throttle(action, ms) {
  let waiting = false;
  let running = null;
  return async () => {
    if (waiting) return;
    waiting = true;
    await Promise.allSettled([running, new Promise((resolve) => { setTimeout(resolve, ms); })]);
    waiting = false;
    running = action();
  };
}

/** Give out turns; each tells whether it is still the newest, since answers need not come in the order of their questions. */
export function turns() {
  let newest = 0;
  return () => {
    newest += 1;
    const mine = newest;
    return () => mine === newest;
  };
}
