"""Settings of the producer."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from finance_contract import TOPIC
from finance_contract.tick import SYMBOL
from finance_producer.reading.options import Options
from finance_producer.reading.settings import parsed_delimiter, parsed_mapping, parsed_mark, parsed_names, parsed_ohlc
from finance_role.literal_paths import unprintable
from finance_role.settings import PlaceSettings, TickSource, TopicName

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


def _parsed(parse: Callable[[str], object]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


class Settings(PlaceSettings):
    """The keys of `.env` that the producer reads."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: TopicName = TOPIC

    tick_source: TickSource = "simulate"
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
    replay_map: Annotated[dict[str, str], NoDecode, _parsed(parsed_mapping)] = Field(default_factory=dict)
    replay_ignore_columns: Annotated[tuple[str, ...], NoDecode, _parsed(parsed_names)] = ()
    replay_symbol: str = Field("", max_length=64)
    replay_ohlc: Annotated[tuple[str, ...], NoDecode, _parsed(parsed_ohlc)] = ()
    replay_delimiter: Annotated[str, _parsed(parsed_delimiter)] = ""
    replay_encoding: str = Field("", max_length=40)
    replay_decimal_mark: Annotated[str, _parsed(parsed_mark)] = ""
    replay_dates: Literal["ymd", "dmy", "mdy"] | None = None
    replay_time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    replay_time_zone: str = Field("", max_length=64)
    replay_decimals: int | None = Field(None, ge=0, le=8)
    replay_price_scale: str = Field("", max_length=24)
    replay_size_scale: str = Field("", max_length=24)
    replay_speed: float = Field(0, ge=0, allow_inf_nan=False)  # a multiple of the file's own pace; 0: TICKS_PER_SECOND applies

    flush_seconds: float = Field(10, gt=0, le=MAX_TIMEOUT_SECONDS)
    delivery_timeout_seconds: float = Field(120, ge=1, le=MAX_TIMEOUT_SECONDS)

    @property
    def reading(self) -> Options:
        """How to read the file."""
        return Options(
            mapped=self.replay_map,
            ignored=self.replay_ignore_columns,
            symbol=self.replay_symbol,
            ohlc=self.replay_ohlc,
            delimiter=self.replay_delimiter,
            encoding=self.replay_encoding,
            decimal_mark=self.replay_decimal_mark,
            date_order=self.replay_dates,
            time_unit=None if self.replay_time_unit == "auto" else self.replay_time_unit,
            time_zone=self.replay_time_zone,
            decimals=self.replay_decimals,
            price_scale=self.replay_price_scale,
            size_scale=self.replay_size_scale,
            spelling="setting",
        )

    @field_validator("replay_file")
    @classmethod
    def _needed_for_replay(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file is None and others.data.get("tick_source") == "replay":
            raise ValueError("TICK_SOURCE=replay needs the path of a CSV, Parquet or Arrow file")
        if file and (what := unprintable(str(file))):
            raise ValueError(f"the name has {what}: rename the file")
        return file
