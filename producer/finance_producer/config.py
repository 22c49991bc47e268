"""Settings of the producer."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from finance_contract import TOPIC
from finance_contract.tick import SYMBOL
from finance_producer.columns import MAPPABLE
from finance_role.literal_paths import unprintable
from finance_role.settings import RoleSettings

MAX_TIMEOUT_SECONDS = 2_000_000
MAX_HISTORY_MINUTES = 7 * 24 * 60


def _listed(symbols: object) -> object:
    """Split a comma-separated list; one message names all its problems."""
    if not isinstance(symbols, str):
        return symbols
    names = tuple(name.strip() for name in symbols.split(","))
    problems = [f"{name!r} is not a symbol" for name in names if not SYMBOL.fullmatch(name)]
    problems += [f"{name!r} is listed twice" for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise ValueError(", ".join(problems))
    return names


def _mapped(pairs: object) -> object:
    """Parse `ours=theirs,...`: the file's names for our columns."""
    if not isinstance(pairs, str):
        return pairs
    split = [[part.strip() for part in pair.split("=", 1)] for pair in pairs.split(",") if pair.strip()]
    ours = [pair[0] for pair in split]
    problems = [f"{'='.join(pair)!r} is not ours=theirs" for pair in split if len(pair) < 2 or not all(pair)]  # noqa: PLR2004
    problems += [f"{name!r} is not one of {', '.join(MAPPABLE)}" for name in ours if name not in MAPPABLE]
    problems += [f"{name!r} is listed twice" for name in sorted(set(ours)) if ours.count(name) > 1]
    theirs = [pair[-1] for pair in split]
    problems += [f"the column {name!r} cannot be two of ours" for name in sorted(set(theirs)) if theirs.count(name) > 1]
    if problems:
        raise ValueError(", ".join(problems))
    return dict(split)


def _names(names: object) -> object:
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names


class Settings(RoleSettings):
    """The keys of `.env` that the producer reads."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: str = Field(TOPIC, pattern=r"^[A-Za-z0-9._-]{1,249}$")

    tick_source: Literal["simulate", "replay"] = "simulate"
    ticks_per_second: float = Field(100, ge=0, allow_inf_nan=False)  # 0: as fast as possible
    max_ticks: int = Field(0, ge=0)  # 0: no limit
    history_minutes: int = Field(60, ge=0, le=MAX_HISTORY_MINUTES)  # of a new topic; 0: none

    symbols: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = (
        *("AAPL", "MSFT", "GOOG", "AMZN", "NVDA"),
        *("META", "TSLA", "IBM", "JPM", "XOM"),
    )
    seed: int = Field(7, ge=0)
    malformed_rate: float = Field(0, ge=0, lt=1, allow_inf_nan=False)  # a share of all records; 1 would leave no ticks

    replay_file: Path | None = Field(None, validate_default=True)
    replay_map: Annotated[dict[str, str], NoDecode, BeforeValidator(_mapped)] = Field(default_factory=dict)
    replay_ignore_columns: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    replay_speed: float = Field(0, ge=0, allow_inf_nan=False)  # a multiple of the file's own pace; 0: TICKS_PER_SECOND applies

    flush_seconds: float = Field(10, gt=0, le=MAX_TIMEOUT_SECONDS)
    delivery_timeout_seconds: float = Field(120, ge=1, le=MAX_TIMEOUT_SECONDS)

    @field_validator("replay_file")
    @classmethod
    def _needed_for_replay(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file is None and others.data.get("tick_source") == "replay":
            raise ValueError("TICK_SOURCE=replay needs the path of a CSV, Parquet or Arrow file")
        if file and (what := unprintable(str(file))):
            raise ValueError(f"the name has {what}: rename the file")
        return file
