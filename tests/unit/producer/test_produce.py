"""A replay reports at the end what happened to each row, and fails if a tick, or every row, is not in the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError

from finance_contract import Reason, decode
from finance_producer import __main__ as program
from finance_producer import produce as production
from finance_producer.config import Settings
from tests.unit.producer.test_run import Client

if TYPE_CHECKING:
    from pathlib import Path

TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001


class Log:
    """A log that stores level, event and figures of each line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **figures: object) -> None:
        self.lines.append(("info", event, figures))

    def warning(self, event: str, **figures: object) -> None:
        self.lines.append(("warning", event, figures))

    def error(self, event: str, **figures: object) -> None:
        self.lines.append(("error", event, figures))

    def after(self, event: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events and figures logged after an event."""
        events = [line[1] for line in self.lines]
        return [(later, figures) for _, later, figures in self.lines[events.index(event) + 1 :]]

    def figures_of(self, event: str) -> list[dict[str, Any]]:
        return [figures for _, logged, figures in self.lines if logged == event]


class Trial:
    """Runs the program on a file, without a broker."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client, self.log = Client(), Log()
        self._folder, self._patch = folder, monkeypatch
        for key in Settings.model_fields:
            monkeypatch.delenv(key.upper(), raising=False)
        monkeypatch.setattr(production, "connect", lambda *_: self.client)
        monkeypatch.setattr(program, "configure_logging", lambda: self.log)

    def run(self, text: str, **settings: str) -> int:
        """Run the program on a file with this text and return the exit code."""
        file = self._folder / "prices.csv"
        file.write_text(text)
        defaults = {"DATA_DIR": str(self._folder / "data"), "TICK_SOURCE": "replay", "REPLAY_FILE": str(file)}
        for key, value in {**defaults, "TICKS_PER_SECOND": "0", **settings}.items():
            self._patch.setenv(key, value)
        return program.main()

    @property
    def prices(self) -> list[str]:
        """The prices of the ticks in the topic."""
        return [str(decode(value).price) for value in self.client.arrived]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(tmp_path, monkeypatch)


def test_a_good_file_is_published_without_warnings(trial: Trial) -> None:
    assert trial.run("symbol,price,size,ts_event\nA,1,1,2024-01-05\nB,2,1,2024-01-05\n") == 0
    assert trial.prices == ["1", "2"]
    assert trial.log.figures_of("stopped") == [{"made": 2, "acknowledged": 2, "unsent": 0, "malformed": 0}]
    assert trial.log.after("stopped") == []
    assert not [line for line in trial.log.lines if line[0] != "info"]


def test_rows_left_out_are_counted_by_reason_at_the_end(trial: Trial) -> None:
    bad = [
        "A,1,x,,",
        "A,0.123456789,1,2024-01-05",
        "A,nan,1,1/5/2024",
        "A,1,1,3000-01-05",
        "A,1,1,1/5/2024",
        "A,0.1234567891,1,",
    ]
    assert trial.run("symbol,price,size,ts_event\nA,1,1,2024-01-05\n" + "\n".join(bad)) == 0
    assert trial.log.figures_of("stopped")[0]["rows_left_out"] == 6
    assert trial.log.after("stopped") == [
        ("rows left out", {"reason": Reason.PRICE_DECIMALS, "rows": 2, "first_line": 4}),
        ("rows left out", {"reason": Reason.NOT_AN_OBJECT, "rows": 1, "first_line": 3}),
        ("rows left out", {"reason": Reason.PRICE_TYPE, "rows": 1, "first_line": 5}),
        ("rows left out", {"reason": Reason.TS_EVENT_RANGE, "rows": 1, "first_line": 6}),
        ("rows left out", {"reason": Reason.TS_EVENT_TYPE, "rows": 1, "first_line": 7}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "symbol,price,ts_event\nA,-1,2024-01-05\n",
        "symbol,price,ts_event\nA,1,1904-01-05\n",
        "symbol,price\nA,1,\nB,2,\n",
        "symbol,price\n",
    ],
    ids=["negative prices", "times of another century", "a trailing comma", "no row"],
)
def test_a_file_without_a_valid_tick_fails_with_a_message(trial: Trial, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial.run(text) == 2
    assert capsys.readouterr().err.endswith("prices.csv has no row that is a valid tick: nothing was published.\n")
    assert trial.client.arrived == []
    assert len(trial.log.figures_of("rows left out")) == (1 if text.count("\n") > 1 else 0)


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("symbol,price\n" + "A,189.123456789012\n" * 200, {"REPLAY_DECIMALS": "2"}),
        ("symbol,price,ts_event\nA,1,01/05/2024\n", {"REPLAY_DATES": "mdy"}),
        ("symbol,price,ts_event\nA,1,20\n", {"REPLAY_TIME_UNIT": "s"}),
        ("symbol;price\nA;1,234\n", {"REPLAY_DECIMAL_MARK": "comma"}),
        ("symbol,price\nA,174500000000\n", {"REPLAY_PRICE_SCALE": "1e-9"}),
        ("price\n1\n", {"REPLAY_SYMBOL": "PRICES"}),
    ],
)
def test_what_only_the_user_knows_is_refused_with_the_setting_that_says_it(
    trial: Trial, text: str, mended: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert trial.run(text) == 2
    setting, value = next(iter(mended.items()))
    assert f"{setting}={value}" in capsys.readouterr().err
    assert trial.client.arrived == []
    trial.run(text, **mended)
    assert trial.client.arrived or setting == "REPLAY_TIME_UNIT"


def test_unused_columns_and_missing_times_are_logged(trial: Trial) -> None:
    assert trial.run("symbol,price,venue,side\nA,1,X,b\n") == 0
    assert trial.log.figures_of("unused columns") == [{"count": 2, "columns": "'venue', 'side'"}]
    assert trial.log.figures_of("no column ts_event: the lake dates these ticks by when they arrive")
    assert trial.log.after("stopped") == [("ticks without a ts_event: the lake dates them by when they arrived", {"ticks": 1})]


def test_a_time_with_another_name_is_refused_until_it_is_mapped_or_ignored(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "symbol,price,ts_recv\nA,1,2024-01-05\n"
    assert trial.run(text) == 2
    assert "Use REPLAY_MAP=ts_event=ts_recv. Or leave it out with REPLAY_IGNORE_COLUMNS=ts_recv." in capsys.readouterr().err
    assert trial.client.arrived == []
    assert trial.run(text, REPLAY_MAP="ts_event=ts_recv") == 0
    assert [decode(value).ts_event for value in trial.client.arrived] == [1_704_412_800_000_000_000]
    assert trial.run(text, REPLAY_MAP="", REPLAY_IGNORE_COLUMNS="ts_recv") == 0
    assert [decode(value).ts_event for value in trial.client.arrived][1:] == [None]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_one_unacknowledged_tick_fails_the_run(trial: Trial, lost: int) -> None:
    trial.client.fate = lambda value: TIMED_OUT if decode(value).seq is not None and decode(value).seq < lost else None  # type: ignore[operator]
    assert trial.run("symbol,price\nA,1\nA,2\nA,3\n") == 1
    assert trial.log.figures_of("stopped")[0]["unsent"] == lost


def test_a_partly_published_file_is_reported(trial: Trial) -> None:
    assert trial.run("symbol,price,ts_event\n" + "A,1,2024-01-05\n" * 5000, MAX_TICKS="10") == 0
    assert trial.log.after("stopped") == [("stopped before the end of the file: the rest is not published", {"ticks": 10})]


ZONE_IS_OPEN = "times without a zone are read as UTC: REPLAY_TIME_ZONE names their zone"


@pytest.mark.parametrize(
    ("time", "zone", "said"),
    [
        ("2024-01-05 09:30:00", "", 1),
        ("2024-01-05 09:30:00", "UTC", 0),
        ("2024-01-05 09:30:00Z", "", 0),
        ("2024-01-05", "", 0),
        ("1704465000", "", 0),
    ],
)
def test_a_zone_that_nobody_names_is_said_once(trial: Trial, time: str, zone: str, said: int) -> None:
    assert trial.run(f"symbol,price,time\nA,1,{time}\nA,1,{time}\n", REPLAY_TIME_ZONE=zone) == 0
    assert len(trial.log.figures_of(ZONE_IS_OPEN)) == said
