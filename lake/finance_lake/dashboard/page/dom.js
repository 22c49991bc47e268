// The page's elements. Data from records is inserted as text, never as markup.
export const byId = (id) => document.getElementById(id);

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function setText(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** Fill a table: columns are {name, text(row), kind}; kind is number, or whole for text that must not wrap. */
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

/** Run the action once ms have passed without a call: for input that is still changing. */
export function debounce(action, ms) {
  let timer = 0;
  const call = (...parameters) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...parameters), ms);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

/** Run the action ms after the first call, and never twice at the same time: for frequent events. */
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

/** Return a function that issues turns. A turn tells whether it is still the newest: responses may arrive out of order. */
export function turns() {
  let newest = 0;
  return () => {
    newest += 1;
    const mine = newest;
    return () => mine === newest;
  };
}
