// The commits page.
import { ask } from "./ask.js";
import { byId, fill } from "./dom.js";
import { count, when } from "./format.js";

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
export async function commits(asOf, isNewest) {
  const answer = await ask("history", { as_of: asOf, limit: 100 });
  if (!isNewest()) return;
  fill(byId("history"), COMMITS, answer.commits);
}
