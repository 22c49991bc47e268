"""`financelake status`: one screen that says how the lake is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.command.app import AsJson, Data, hint, look_further, tell_if_empty
from finance_lake.errors import START

if TYPE_CHECKING:
    from finance_lake.condition import Condition


def status(*, as_json: AsJson = False, data: Data = None) -> None:
    """Say how the lake is: services, lag, rows, age of the newest tick, quarantine, last verdict."""
    from functools import partial

    from finance_lake.command.display import as_json as encoded
    from finance_lake.condition import ask_soon, look
    from finance_lake.config import Settings
    from finance_lake.state.layout import Layout
    from finance_role.settings import settings_or_exit

    settings = settings_or_exit(Settings)
    layout = Layout(data or settings.data_dir)
    seen = look(layout, partial(ask_soon, settings.bootstrap, settings.kafka_topic))
    if as_json:
        print(encoded(seen))
        return
    print("\n".join(f"{name:<12} {text}" for name, text in lines(seen).items()))
    tell_if_empty(layout, seen.rows)
    hint(next_step(seen))


def lines(seen: Condition) -> dict[str, str]:
    """Say it for people, by heading."""
    from finance_lake.command.display import duration
    from finance_lake.text import plain

    tick = "no tick yet" if seen.tick_seconds is None else f"{duration(max(0.0, seen.tick_seconds))} ago"
    return {
        "lake": plain(seen.data),
        "services": ", ".join(f"{name} {state}" for name, state in seen.services.items()),
        "lag": _lag(seen),
        "ticks": f"{seen.rows:,} rows, version {seen.version}, committed {duration(max(0.0, seen.committed_seconds))} ago",
        "last tick": tick,
        "quarantine": f"{seen.quarantined:,} records",
        "last proof": _proof(seen),
    }


def next_step(seen: Condition) -> str:
    """Name what to do next."""
    if seen.services["kafka"] != "up":
        return f"{START} starts the lake; `financelake doctor` says what this machine lacks for it."
    if seen.verdict is None or seen.verdict.code:
        return "`financelake verify` proves that the tables hold the topic."
    return look_further(seen.quarantined)


def _lag(seen: Condition) -> str:
    from finance_lake.command.display import duration

    if seen.lag is None or seen.lag_seconds is None:
        return f"unknown: {seen.broker}"
    return f"{seen.lag:,} records, {duration(max(0.0, seen.lag_seconds))} behind the topic" if seen.lag else "none"


def _proof(seen: Condition) -> str:
    from finance_lake.text import plain

    verdict = seen.verdict
    if verdict is None:
        return "never"
    what = f"{plain(verdict.verdict)}, {verdict.lost:,} lost, {verdict.doubled:,} doubled"
    version = "" if verdict.version is None else f", as of version {verdict.version}"
    return f"{what}, at {verdict.at:%Y-%m-%d %H:%M:%S} UTC{version}{'' if verdict.broker else ', the files alone'}"
