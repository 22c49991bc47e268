"""`financelake status`: one screen that says how the lake is."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import AsJson, Data, hint, look_further, say, tell_if_empty
from finance_storage.errors import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.status import LakeStatus


class ExitCode(IntEnum):
    """Exit codes of what was demanded; 0, 1 and 2 are those of every command."""

    LAG = 3
    DOWN = 4


def status(
    *,
    max_lag: Annotated[
        float | None, typer.Option(min=0, help="Exit with 3 where the tables are so many seconds behind.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 4 unless this runs: zookeeper, kafka, producer or spark-job; may be given several times."),
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say how the lake is: services, lag, rows, age of the newest tick, quarantine, last verdict.

    Exit codes: 0 it was said, and what was demanded holds; 1 the tables cannot be read; 2 there is no lake, or the question is
    wrong; 3 the tables are further behind than --max-lag; 4 something that --require names does not run, or both.
    """
    from functools import partial

    from finance_lake.cli.display import as_json as encoded
    from finance_lake.config import Settings
    from finance_lake.status import ask_soon, look
    from finance_role.settings import settings_or_exit
    from finance_storage.paths import LakePaths

    settings = settings_or_exit(Settings)
    paths = LakePaths(data or settings.data_dir)
    seen = look(paths, partial(ask_soon, settings.bootstrap, settings.kafka_topic))
    if unknown := set(require or []) - seen.services.keys():
        names = ", ".join(seen.services)
        raise typer.BadParameter(f"{', '.join(map(repr, sorted(unknown)))}: it is one of {names}.", param_hint="--require")
    if as_json:
        print(encoded(seen))
    else:
        print("\n".join(f"{name:<12} {text}" for name, text in lines(seen).items()))
        tell_if_empty(paths, seen.rows)
        hint(next_step(seen))
    if failed := failures(seen, max_lag, require or []):
        for sentence in failed.values():
            say(sentence)
        raise typer.Exit(max(failed))


def failures(seen: LakeStatus, max_lag: float | None, required: Sequence[str]) -> dict[ExitCode, str]:
    """Say which demands do not hold, by exit code."""
    found = {}
    if max_lag is not None and seen.lag_seconds > max_lag:
        found[ExitCode.LAG] = f"The tables are {seen.lag_seconds:.1f} s behind; --max-lag allows {max_lag:g} s."
    if down := [f"{name} is {seen.services[name]}" for name in required if seen.services[name] != "up"]:
        found[ExitCode.DOWN] = f"{', '.join(down)}; --require demands it."
    return found


def lines(seen: LakeStatus) -> dict[str, str]:
    """Say it for people, by heading."""
    from finance_lake.cli.display import duration
    from finance_role.text import plain

    tick = "no tick yet" if seen.tick_seconds is None else f"{duration(max(0.0, seen.tick_seconds))} ago"
    return {
        "lake": plain(seen.data),
        "services": ", ".join(_service(name, state, seen.heartbeats.get(name)) for name, state in seen.services.items()),
        "lag": _lag(seen),
        "ticks": f"{seen.rows:,} rows, version {seen.version}, committed {duration(max(0.0, seen.committed_seconds))} ago",
        "last tick": tick,
        "quarantine": f"{seen.quarantined:,} records",
        "last proof": _proof(seen),
    }


def next_step(seen: LakeStatus) -> str:
    """Name what to do next."""
    if seen.services["kafka"] != "up":
        return f"{START} starts the lake; `financelake doctor` says what this machine lacks for it."
    if seen.verdict is None or seen.verdict.code:
        return "`financelake verify` proves that the tables hold the topic."
    return look_further(seen.quarantined)


def _service(name: str, state: str, heartbeat: float | None) -> str:
    from finance_lake.cli.display import duration

    silent = f" (silent for {duration(heartbeat)})" if state != "up" and heartbeat is not None else ""
    return f"{name} {state}{silent}"


def _lag(seen: LakeStatus) -> str:
    from finance_lake.cli.display import duration

    if seen.lag is None:
        still = f", and nothing was committed for {duration(seen.lag_seconds)}" if seen.lag_seconds else ""
        return f"unknown: {seen.broker}{still}"
    return f"{seen.lag:,} records, {duration(max(0.0, seen.lag_seconds))} behind the topic" if seen.lag else "none"


def _proof(seen: LakeStatus) -> str:
    from datetime import UTC, datetime

    from finance_lake.cli.display import duration
    from finance_role.text import plain

    verdict = seen.verdict
    if verdict is None:
        return "never"
    what = f"{plain(verdict.verdict)}, {verdict.lost:,} lost, {verdict.doubled:,} doubled"
    version = "" if verdict.version is None else f", as of version {verdict.version}"
    ago = duration(max(0.0, (datetime.now(UTC) - verdict.at).total_seconds()))
    return f"{what}, at {verdict.at:%Y-%m-%d %H:%M:%S} UTC, {ago} ago{version}{'' if verdict.broker else ', the files alone'}"
