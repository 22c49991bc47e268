"""`financelake quarantine`: the malformed records, and why they were refused."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import AsJson, Data, Tz, hint, paths_of, report_if_empty


def quarantine(
    *,
    tz: Tz = None,
    as_json: AsJson = False,
    data: Data = None,
    samples: Annotated[int, typer.Option(min=0, max=1000, help="Records of each reason to show.")] = 3,
) -> None:
    """Show the quarantine: the number of records by reason, and the newest of each, with control characters escaped."""
    import json
    from datetime import datetime

    from finance_lake.cli.display import in_zone
    from finance_lake.quarantine import quarantined
    from finance_lake.query.snapshot import open_snapshot

    paths = paths_of(data)
    summary = quarantined(paths, samples)
    if as_json:
        print(json.dumps({"counts": summary.counts, "samples": [sample._asdict() for sample in summary.samples]}))
        return
    for reason, count in summary.counts.items():
        print(f"{count:>12,}  {reason}")
    for sample in summary.samples:
        value = "no value" if sample.value is None else f"{sample.value_length:,} bytes: {sample.value}"
        arrived = in_zone(datetime.fromisoformat(sample.arrived), tz).isoformat(timespec="milliseconds")
        print(f"{sample.reason} at {sample.partition}:{sample.offset}, {arrived}: {sample.detail}; {value}")
    print(f"{sum(summary.counts.values()):,} records in quarantine.")
    report_if_empty(paths, open_snapshot(paths).rows)
    redrive = "`make redrive REASON=...` moves records that are valid under the current rules into the table of ticks."
    hint(redrive if summary.counts else "`financelake status` shows the state of the lake.")
