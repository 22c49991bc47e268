// The pages of the quarantine and of the commits.
import { ask } from "./ask.js";
import { byId, choose, fill, say } from "./dom.js";
import { cell, count } from "./format.js";

const when = (text) => text.slice(0, 23).replace("T", " ").replace("Z", "");
const RECORDS = [
  { name: "Arrived (UTC)", text: (row) => when(row.kafka_timestamp ?? row.ingested_at), kind: "whole" },
  { name: "Place", text: (row) => `${row.kafka_partition}:${row.kafka_offset}`, kind: "number" },
  { name: "Reason", text: (row) => row.reason, kind: "whole" },
  { name: "Detail", text: (row) => cell(row.detail) },
  { name: "Bytes", text: (row) => count(row.value_length), kind: "number" },
  { name: "Value", text: (row) => cell(row.value) },
];
const COMMITS = [
  { name: "Version", text: (row) => count(row.version), kind: "number" },
  { name: "Committed (UTC)", text: (row) => when(row.ts), kind: "whole" },
  { name: "Operation", text: (row) => row.operation, kind: "whole" },
  { name: "Sequence", text: (row) => count(row.sequence), kind: "number" },
  { name: "Rows added", text: (row) => count(row.rows), kind: "number" },
  { name: "Rows then", text: (row) => count(row.total), kind: "number" },
  { name: "Files +", text: (row) => count(row.files_added), kind: "number" },
  { name: "Files −", text: (row) => count(row.files_removed), kind: "number" },
];
const ALL = "all";

/** The reason that is chosen; null for all. */
export function chosenReason() {
  const { value } = byId("reason");
  return value === "" || value === ALL ? null : value;
}

/** @param isNewest whether nothing else was asked for since */
export async function quarantine(asOf, isNewest) {
  const reason = chosenReason();
  const answer = await ask("quarantine", { as_of: asOf, reason });
  if (!isNewest()) return;
  choose(byId("reason"), [ALL, ...Object.keys(answer.counts)], reason ?? ALL);
  const total = Object.values(answer.counts).reduce((sum, one) => sum + one, 0);
  const told = Object.entries(answer.counts).map(([name, records]) => `${count(records)} ${name}`);
  say(byId("counted"), total ? `${count(total)} records: ${told.join(", ")}` : "Nothing is quarantined.");
  fill(byId("records"), RECORDS, answer.records);
}

export async function commits(asOf, isNewest) {
  const answer = await ask("history", { as_of: asOf, limit: 100 });
  if (!isNewest()) return;
  fill(byId("history"), COMMITS, answer.commits);
}
