// The quarantine page and the commits page.
import { ask } from "./ask.js";
import { byId, choose, fill, setText } from "./dom.js";
import { cell, count, when } from "./format.js";

const RECORDS = [
  { name: "Arrived", text: (row) => when(row.kafka_timestamp ?? row.ingested_at), kind: "whole" },
  { name: "Partition:offset", text: (row) => `${row.kafka_partition}:${row.kafka_offset}`, kind: "number" },
  { name: "Reason", text: (row) => row.reason, kind: "whole" },
  { name: "Detail", text: (row) => cell(row.detail) },
  { name: "Bytes", text: (row) => count(row.value_length), kind: "number" },
  { name: "Value", text: (row) => cell(row.value) },
];
const COMMITS = [
  { name: "Version", text: (row) => count(row.version), kind: "number" },
  { name: "Committed", text: (row) => when(row.ts), kind: "whole" },
  { name: "Operation", text: (row) => row.operation, kind: "whole" },
  { name: "Sequence", text: (row) => count(row.sequence), kind: "number" },
  { name: "Rows added", text: (row) => count(row.rows), kind: "number" },
  { name: "Total rows", text: (row) => count(row.total), kind: "number" },
  { name: "Files +", text: (row) => count(row.files_added), kind: "number" },
  { name: "Files −", text: (row) => count(row.files_removed), kind: "number" },
];
const ALL = "all";

/** Return the chosen reason; null for all. */
export function chosenReason() {
  const { value } = byId("reason");
  return value === "" || value === ALL ? null : value;
}

/** @param isNewest tells whether this is still the newest request */
export async function quarantine(asOf, isNewest) {
  const reason = chosenReason();
  const answer = await ask("quarantine", { as_of: asOf, reason });
  if (!isNewest()) return;
  choose(byId("reason"), [ALL, ...Object.keys(answer.counts)], reason ?? ALL);
  const total = Object.values(answer.counts).reduce((sum, records) => sum + records, 0);
  const reasons = Object.entries(answer.counts).map(([name, records]) => `${count(records)} ${name}`);
  setText(byId("counted"), total ? `${count(total)} records: ${reasons.join(", ")}` : "The quarantine is empty.");
  fill(byId("records"), RECORDS, answer.records);
}

export async function commits(asOf, isNewest) {
  const answer = await ask("history", { as_of: asOf, limit: 100 });
  if (!isNewest()) return;
  fill(byId("history"), COMMITS, answer.commits);
}
