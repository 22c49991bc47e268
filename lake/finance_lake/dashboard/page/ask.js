// Requests to the server. Failures throw an Error with the server's message.
export async function ask(panel, parameters) {
  return answered(await fetch(addressOf(panel, parameters)));
}

/** Return the address of a panel; parameters that are null are left out, and a list is one parameter for each of its values. */
export function addressOf(panel, parameters = {}) {
  const given = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  return `api/${panel}?${new URLSearchParams(given.filter(([, value]) => value !== null))}`;
}

/** @param signal cancels the query: the server stops it when its client is gone */
export async function askSql(query, asOf, signal) {
  return answered(await post(query, asOf, "api/sql", signal));
}

export async function sqlCsv(query, asOf) {
  const response = await post(query, asOf, "api/sql?format=csv");
  if (!response.ok) await answered(response);
  return response.blob();
}

const post = (query, asOf, address, signal) => fetch(address, {
  signal,
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query, as_of: asOf }),
});

async function answered(response) {
  const type = response.headers.get("content-type") ?? "";
  const body = type.startsWith("application/json") ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Error(body.error);
  return body;
}
