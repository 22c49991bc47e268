// The pages of the quarantine and of the commits.
import { ask } from "./ask.js";
import { byId, choose, fill, say } from "./dom.js";
import { cell, count } from "./format.js";

const when = (text) => text.slice(0, 23).replace("T", " ").replace("Z", "");
const RECORDS = [
  { name: "Arrived (UTC)", text: (row) => when(row.kafka_timestamp) },
  { name: "Place", text: (row) => `${row.kafka_partition}:${row.kafka_offset}`, number: true },
  { name: "Reason", text: (row) => row.reason },
  { name: "Detail", text: (row) => cell(row.detail) },
  { name: "Bytes", text: (row) => count(row.value_length), number: true },
  { name: "Value", text: (row) => cell(row.value) },
];
const COMMITS = [
  { name: "Version", text: (row) => count(row.version), number: true },
  { name: "Committed (UTC)", text: (row) => when(row.ts) },
  { name: "Operation", text: (row) => row.operation },
  { name: "Batch", text: (row) => count(row.batch), number: true },
  { name: "Rows added", text: (row) => count(row.rows), number: true },
  { name: "Rows then", text: (row) => count(row.total), number: true },
  { name: "Files +", text: (row) => count(row.files_added), number: true },
  { name: "Files −", text: (row) => count(row.files_removed), number: true },
];
const ALL = "all";

export async function quarantine(asOf) {
  const reason = byId("reason");
  const wanted = reason.value || ALL;
  const answer = await ask("quarantine", { as_of: asOf, reason: wanted === ALL ? null : wanted });
  choose(reason, [ALL, ...Object.keys(answer.counts)], wanted);
  const total = Object.values(answer.counts).reduce((sum, one) => sum + one, 0);
  const told = Object.entries(answer.counts).map(([name, records]) => `${count(records)} ${name}`);
  say(byId("counted"), total ? `${count(total)} records: ${told.join(", ")}` : "Nothing is quarantined.");
  fill(byId("records"), RECORDS, answer.records);
}

export async function commits(asOf) {
  const answer = await ask("history", { as_of: asOf, limit: 100 });
  fill(byId("history"), COMMITS, answer.commits);
}
