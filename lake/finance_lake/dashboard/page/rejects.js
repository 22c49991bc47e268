// The quarantine: reasons over time, the command that fixes each, and the newest records.
import { got } from "./address.js";
import { ask } from "./ask.js";
import { byId, choose, element, fill, setText } from "./dom.js";
import { cell, count, duration, stamp, when } from "./format.js";
import { columnChart } from "./svg.js";

const ALL = "all";
const KINDS = 8; // colours of the style sheet
const CODE = /^[a-z0-9_]+$/;
const RECORDS = [
  { name: "Arrived", text: (row) => when(row.kafka_timestamp ?? row.ingested_at), kind: "whole" },
  { name: "Partition:offset", text: (row) => `${row.kafka_partition}:${row.kafka_offset}`, kind: "number" },
  { name: "Reason", text: (row) => row.reason, kind: "whole" },
  { name: "Detail", text: (row) => cell(row.detail) },
  { name: "Bytes", text: (row) => count(row.value_length), kind: "number" },
  { name: "Value", text: (row) => cell(row.value) },
];
let wanted = got("reason");

/** Return the chosen reason; null for all. */
export function chosenReason() {
  const { value } = byId("reason");
  if (value === "") return wanted; // the first answer is not there yet
  return value === ALL ? null : value;
}

/** @param isNewest tells whether this is still the newest request */
export async function quarantine(asOf, isNewest) {
  const reason = chosenReason();
  const answer = await ask("quarantine", { as_of: asOf, reason });
  if (!isNewest()) return;
  wanted = null;
  const reasons = Object.entries(answer.counts);
  choose(byId("reason"), [...new Set([ALL, ...reasons.map(([name]) => name), reason ?? ALL])], reason ?? ALL);
  const total = reasons.reduce((sum, [, records]) => sum + records, 0);
  setText(byId("counted"), total ? `${count(total)} records` : "The quarantine is empty.");
  const kinds = new Map(reasons.map(([name], index) => [name, index % KINDS]));
  byId("timeline").replaceChildren(...(answer.timeline.bars.length ? [timeline(answer.timeline, kinds)] : []));
  listReasons(reasons, kinds);
  fill(byId("records"), RECORDS, answer.records);
}

function timeline({ width, bars }, kinds) {
  const columns = new Map();
  for (let at = bars[0][0]; at <= bars.at(-1)[0]; at += width) columns.set(at, []);
  for (const [at, reason, records] of bars) columns.get(at)?.push([reason, records]);
  const label = (at) => (width >= 86400 ? stamp(at * 1000).slice(0, 10) : stamp(at * 1000).slice(5, width < 60 ? 19 : 16));
  return columnChart([...columns].map(([at, parts]) => ({
    label: label(at),
    title: [stamp(at * 1000), ...parts.map(([reason, records]) => `${count(records)} ${reason}`)].join("\n"),
    parts: parts.map(([reason, value]) => ({ value, kind: kinds.get(reason) })),
  })), `Quarantined records by reason, ${duration(width * 1000, 0)} a column`, byId("timeline").clientWidth);
}

/** Return the command that moves a reason's records into the table of ticks, and what must have happened before. */
function remedy(reason) {
  if (reason === "retracted") return ["financelake forget SOURCE --undo", "a source was forgotten: `financelake sources` names it"];
  return [CODE.test(reason) ? `make redrive REASON=${reason}` : "make redrive REASON=all", "moves what the current rules accept; correct the sender for the rest"];
}

function listReasons(reasons, kinds) {
  fill(byId("reasons"), [
    { name: "Reason", text: ([name]) => name, kind: "whole" },
    { name: "Records", text: ([, records]) => count(records), kind: "number" },
    { name: "Command that fixes it", text: ([name]) => remedy(name)[0], kind: "whole" },
    { name: "", text: ([name]) => remedy(name)[1] },
  ], reasons);
  byId("reasons").closest("div").hidden = reasons.length === 0;
  [...byId("reasons").tBodies[0].rows].forEach((row, index) => {
    const [name] = reasons[index];
    row.cells[0].prepend(element("i", "", { "data-kind": kinds.get(name), "aria-hidden": "true" }));
    const copy = element("button", "Copy", { type: "button", "aria-label": `Copy the command for ${name}` });
    copy.addEventListener("click", () => navigator.clipboard.writeText(remedy(name)[0]).then(() => setText(copy, "Copied"), () => setText(copy, "Select and copy it")));
    row.cells[2].replaceChildren(element("code", remedy(name)[0]), copy);
  });
}
