"""`financelake quarantine`: what was malformed, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import AsJson, Data, hint, paths_of, tell_if_empty


def quarantine(
    *,
    as_json: AsJson = False,
    data: Data = None,
    samples: Annotated[int, typer.Option(min=0, max=1000, help="How many records of each reason to show.")] = 3,
) -> None:
    """Show what was quarantined: how many records of each reason, and the newest of them, escaped."""
    import json

    from finance_lake.quarantine import quarantined
    from finance_lake.query.snapshot import take

    paths = paths_of(data)
    found = quarantined(paths, samples)
    if as_json:
        print(json.dumps({"counts": found.counts, "samples": [sample._asdict() for sample in found.samples]}))
        return
    for reason, count in found.counts.items():
        print(f"{count:>12,}  {reason}")
    for sample in found.samples:
        value = "no value" if sample.value is None else f"{sample.value_length:,} bytes: {sample.value}"
        print(f"{sample.reason} at {sample.partition}:{sample.offset}, {sample.arrived}: {sample.detail}; {value}")
    print(f"{sum(found.counts.values()):,} records in quarantine.")
    tell_if_empty(paths, take(paths).rows)
    redrive = "`make redrive REASON=...` moves those that the rules of today let pass."
    hint(redrive if found.counts else "`financelake status` says how the lake is.")
