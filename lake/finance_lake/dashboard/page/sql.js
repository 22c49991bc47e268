// The SQL page: one SELECT, with its result as a table, a chart or a CSV file.
import { ask, askSql, sqlCsv } from "./ask.js";
import { got, put } from "./address.js";
import { Completion } from "./completion.js";
import { byId, element, fill, setText } from "./dom.js";
import { cell, count, grouped, when } from "./format.js";
import { QueryHistory } from "./query_history.js";
import { ResultChart, drawable } from "./result_chart.js";

const NUMBER = /^(u?int|float|double|decimal)/;
const ZONED = /^timestamp.*tz=/;
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
  let answer = null; // the newest result
  const replace = (text) => {
    query.value = text;
    query.focus();
  };
  const completion = new Completion(query, byId("offers"));
  const past = new QueryHistory(byId("past"), replace);
  const chart = new ResultChart(byId("plot"));
  const drawn = byId("drawn");
  drawn.checked = got("plot") === "on";
  const draw = () => (drawn.checked && answer ? chart.draw(answer) : chart.clear());
  drawn.addEventListener("change", () => {
    put({ plot: drawn.checked ? "on" : null });
    draw();
  });
  byId("cancel").addEventListener("click", () => running?.abort());
  examples.addEventListener("change", () => {
    if (examples.value) replace(examples.value);
  });
  const run = () => report(output, async () => {
    const began = performance.now();
    running?.abort();
    running = new AbortController();
    byId("cancel").disabled = false;
    put({ q: query.value });
    const mine = running;
    const text = query.value;
    answer = await askSql(text, asOf(), mine.signal).finally(() => {
      if (running === mine) byId("cancel").disabled = true;
    });
    past.add(text);
    show(answer);
    drawn.disabled = drawable(answer) === null;
    draw();
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
    if ((event.key === "ArrowUp" || event.key === "ArrowDown") && event.ctrlKey) {
      event.preventDefault();
      past.go(event.key === "ArrowUp" ? 1 : -1);
    }
  });
  byId("csv").addEventListener("click", () => report(output, async () => {
    const link = element("a", "", { href: URL.createObjectURL(await sqlCsv(query.value, asOf())), download: "financelake.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
    return "saved as financelake.csv";
  }));
  let isListed = false;
  /** Show the tables and their columns, and run the query of the address if it ran here before, once the page is seen. */
  return async () => {
    if (isListed) return;
    isListed = true;
    if (past.queries.includes(got("q"))) run(); // but nothing that only a link brings
    const { tables } = await ask("schema").catch(() => ({}));
    isListed = tables !== undefined;
    if (!tables) return;
    completion.know(tables);
    listTables(tables, (name) => {
      query.setRangeText(name, query.selectionStart, query.selectionEnd, "end");
      query.focus();
    });
  };
}

function listTables(tables, insert) {
  byId("schema").replaceChildren(...Object.entries(tables).map(([table, columns]) => {
    const details = element("details", "", { open: "" });
    const list = element("ul");
    list.append(...columns.map(({ name, type }) => {
      const item = element("li");
      item.append(inserter(name, insert), element("small", type.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")));
      return item;
    }));
    details.append(element("summary", table), list);
    return details;
  }));
}

function inserter(name, insert) {
  const button = element("button", name, { type: "button", title: `Insert ${name}` });
  button.addEventListener("click", () => insert(name));
  return button;
}

function show({ columns, rows }) {
  fill(byId("result"), columns.map(({ name, type }, index) => {
    const shown = NUMBER.test(type) ? grouped : ZONED.test(type) ? (value) => (value === null ? "" : when(value)) : cell;
    return { name, text: (row) => shown(row[index]), kind: NUMBER.test(type) ? "number" : undefined };
  }), rows);
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
