"""`financelake status`: the state of the lake on one screen."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import AsJson, Data, Tz, further_command, hint, report_if_empty, say
from finance_storage.errors import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.status import DerivedStatus, LakeStatus

NO_DERIVED_TABLES = "none yet: in an object store Spark needs further jars, see docs/OBJECT-STORE.md"


class ExitCode(IntEnum):
    """Exit codes for failed demands; 0, 1 and 2 mean the same as for every command."""

    LAG = 3
    DOWN = 4


def status(
    *,
    max_lag: Annotated[
        float | None,
        typer.Option(min=0, help="Exit with 3 if a record of the topic has waited for more than this many seconds."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 4 unless this is up: zookeeper (not with KRaft), kafka, producer, spark-job; repeat for several."
        ),
    ] = None,
    tz: Tz = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show the state of the lake: services, lag, rows, age of the newest tick, quarantine, last verdict.

    Exit codes:
    0 the state was shown and all demands hold,
    1 the tables cannot be read,
    2 there is no lake, or the arguments are wrong,
    3 a record has waited for longer than --max-lag,
    4 a service that --require names is not up (also if both apply).
    """
    from functools import partial

    from finance_kafka.range_reader import oldest_timestamp
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.config import Settings
    from finance_lake.status import describe_topic_quickly, lake_status
    from finance_role.settings import settings_or_exit
    from finance_storage.paths import LakePaths

    settings = settings_or_exit(Settings)
    paths = LakePaths(data) if data else LakePaths.of(settings)
    topic = settings.broker_addresses, settings.kafka_topic
    state = lake_status(paths, partial(describe_topic_quickly, *topic), partial(oldest_timestamp, *topic))
    if unknown := set(require or []) - state.services.keys():
        names = ", ".join(state.services)
        raise typer.BadParameter(f"{', '.join(map(repr, sorted(unknown)))}: it must be one of {names}.", param_hint="--require")
    if as_json:
        print(encoded(state))
    else:
        print("\n".join(f"{name:<12} {text}" for name, text in lines(state, tz).items()))
        report_if_empty(paths, state.rows)
        hint(next_step(state))
    if failed := failures(state, max_lag, require or []):
        for message in failed.values():
            say(message)
        raise typer.Exit(max(failed))


def failures(seen: LakeStatus, max_lag: float | None, required: Sequence[str]) -> dict[ExitCode, str]:
    """Return a message for each demand that does not hold, by exit code."""
    failed = {}
    if max_lag is not None and seen.lag_seconds > max_lag:
        failed[ExitCode.LAG] = f"The tables are {seen.lag_seconds:.1f} s behind; --max-lag allows {max_lag:g} s."
    if down := [f"{name} is {seen.services[name]}" for name in required if seen.services[name] != "up"]:
        failed[ExitCode.DOWN] = f"{', '.join(down)}; --require demands that it is up."
    return failed


def lines(seen: LakeStatus, tz: str | None = None) -> dict[str, str]:
    """Return the status as human-readable text, by heading."""
    from finance_lake.cli.display import duration
    from finance_role.text import plain

    tick = "no ticks yet" if seen.tick_seconds is None else f"{duration(max(0.0, seen.tick_seconds))} ago"
    return {
        "lake": plain(seen.data),
        "services": ", ".join(_service(name, state, seen.heartbeats.get(name)) for name, state in seen.services.items()),
        "lag": _lag(seen),
        "ticks": f"{seen.rows:,} rows, version {seen.version}, committed {duration(max(0.0, seen.committed_seconds))} ago",
        "last tick": tick,
        "quarantine": f"{seen.quarantined:,} records",
        "last proof": _proof(seen, tz),
        "sealed": f"all days before {seen.finalized_until}" if seen.finalized_until else "no day yet",
        **({} if seen.derived or not seen.data.startswith("s3:") else {"derived": NO_DERIVED_TABLES}),
        **{table.name: _derived(table, tz) for table in seen.derived},
    }


def next_step(seen: LakeStatus) -> str:
    """Return the suggested next step."""
    if seen.services["kafka"] != "up":
        return f"{START} starts the lake; `financelake doctor` shows what is missing on this machine."
    if seen.verdict is None or seen.verdict.code:
        return "`financelake verify` checks the tables against the topic."
    return further_command(seen.quarantined)


def _service(name: str, state: str, heartbeat: float | None) -> str:
    from finance_lake.cli.display import duration

    last = f" (last heartbeat {duration(heartbeat)} ago)" if state != "up" and heartbeat is not None else ""
    return f"{name} {state}{last}"


def _lag(seen: LakeStatus) -> str:
    from finance_lake.cli.display import duration

    if seen.lag is None:
        idle = f"; no commit for {duration(seen.lag_seconds)}" if seen.lag_seconds else ""
        return f"unknown: {seen.broker}{idle}"
    return f"{seen.lag:,} records, {duration(max(0.0, seen.lag_seconds))} behind the topic" if seen.lag else "none"


def _derived(table: DerivedStatus, tz: str | None) -> str:
    from finance_lake.cli.display import duration, stamp
    from finance_role.text import plain

    version = "not computed yet" if table.as_of is None else f"as of version {table.as_of}"
    if table.pause:
        return f"{version}, paused since {stamp(table.pause.since, tz)}: {plain(table.pause.reason)}"
    return version if table.lag_seconds is None else f"{version}, {duration(max(0.0, table.lag_seconds))} behind the ticks"


def _proof(seen: LakeStatus, tz: str | None) -> str:
    from datetime import UTC, datetime

    from finance_lake.cli.display import duration, stamp
    from finance_role.text import plain

    verdict = seen.verdict
    if verdict is None:
        return "never"
    result = f"{plain(verdict.verdict)}, {verdict.lost:,} lost, {verdict.doubled:,} doubled"
    version = "" if verdict.version is None else f", as of version {verdict.version}"
    ago = duration(max(0.0, (datetime.now(UTC) - verdict.at).total_seconds()))
    return f"{result}, at {stamp(verdict.at, tz)}, {ago} ago{version}{'' if verdict.broker else ', files only'}"
