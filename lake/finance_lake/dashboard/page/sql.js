// The SQL page: one SELECT, with its result as a table or a CSV file.
import { askSql, sqlCsv } from "./ask.js";
import { got, put } from "./address.js";
import { byId, element, fill, setText } from "./dom.js";
import { cell, count } from "./format.js";

const NUMBER = /^(u?int|float|double|decimal)/;
const EXAMPLES = [
  ["Examples", ""],
  ["VWAP by hour", "SELECT symbol, date_trunc('hour', ts_event) AS hour,\n       round(sum(price * size) / sum(size), 4) AS vwap, count(*) AS ticks\nFROM ticks WHERE size > 0\nGROUP BY ALL ORDER BY symbol, hour"],
  ["Newest ticks", "SELECT symbol, price, size, ts_event, kafka_partition, kafka_offset\nFROM ticks ORDER BY kafka_timestamp DESC, kafka_offset DESC LIMIT 50"],
  ["Widest minutes", "SELECT symbol, ts, high - low AS span, ticks\nFROM bars_1m ORDER BY span DESC LIMIT 20"],
  ["Quarantine by reason", "SELECT reason, count(*) AS records, max(kafka_timestamp) AS newest\nFROM quarantine GROUP BY ALL ORDER BY records DESC"],
];

/** @param asOf returns the version or time that the page shows, or null for now */
export function sqlPage(asOf) {
  const [query, output, examples] = [byId("query"), byId("told"), byId("examples")];
  examples.replaceChildren(...EXAMPLES.map(([name, text]) => element("option", name, { value: text })));
  query.value = got("q") ?? EXAMPLES[1][1];
  let running = null;
  byId("cancel").addEventListener("click", () => running?.abort());
  examples.addEventListener("change", () => {
    if (examples.value) query.value = examples.value;
  });
  const run = () => report(output, async () => {
    const began = performance.now();
    running?.abort();
    running = new AbortController();
    byId("cancel").disabled = false;
    put({ q: query.value });
    const mine = running;
    const answer = await askSql(query.value, asOf(), mine.signal).finally(() => {
      if (running === mine) byId("cancel").disabled = true;
    });
    show(answer);
    const rows = `${answer.cut ? "first " : ""}${count(answer.rows.length)} rows${answer.cut ? " (there are more)" : ""}`;
    return `${rows} as of version ${count(answer.version)}, ${(performance.now() - began).toFixed(0)} ms`;
  });
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  byId("csv").addEventListener("click", () => report(output, async () => {
    const link = element("a", "", { href: URL.createObjectURL(await sqlCsv(query.value, asOf())), download: "financelake.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
    return "saved as financelake.csv";
  }));
}

function show({ columns, rows }) {
  fill(byId("result"), columns.map(({ name, type }, index) => (
    { name, text: (row) => cell(row[index]), kind: NUMBER.test(type) ? "number" : undefined }
  )), rows);
}

async function report(output, action) {
  output.dataset.state = "";
  setText(output, "running …");
  try {
    setText(output, await action());
  } catch (error) {
    output.dataset.state = "bad";
    setText(output, error.name === "AbortError" ? "cancelled" : error.message);
  }
}
