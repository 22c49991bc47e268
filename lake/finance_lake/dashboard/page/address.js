// What the page shows, in its address.

/** Set parameters of the address; null removes one. The page in its fragment stays. */
export function put(parameters) {
  const address = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null) address.delete(name);
    else address.set(name, value);
  }
  const text = address.toString();
  history.replaceState(null, "", `${text ? `?${text}` : location.pathname}${location.hash}`);
}

export const got = (name) => new URLSearchParams(location.search).get(name);
