"""The settings: invalid ones are reported together, with exit code 2."""

from __future__ import annotations

import pytest

from finance_producer.config import Settings
from finance_role.settings import settings_or_exit


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults_are_a_market_of_eight_symbols_or_more_with_apple_at_a_hundred_a_second() -> None:
    settings = Settings()
    assert len(settings.symbols) >= 8
    assert "AAPL" in settings.symbols
    assert settings.ticks_per_second == 100


def test_all_invalid_settings_are_reported_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    invalid = {
        "TICKS_PER_SECOND": "-1",
        "SYMBOLS": "AAPL,-A,MSFT,MSFT,",
        "MALFORMED_RATE": "1",
        "TICK_SOURCE": "guess",
        "MAX_TICKS": "many",
        "SEED": "-3",
        "REPLAY_SPEED": "inf",
        "FLUSH_SECONDS": "0",
        "DELIVERY_TIMEOUT_SECONDS": "0.5",
        "KAFKA_TOPIC": "a topic",
    }
    for key, value in invalid.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit) as exit_:
        settings_or_exit(Settings)
    assert exit_.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.split("=")[0] for line in lines) == sorted(invalid)
    (symbols,) = [line for line in lines if line.startswith("SYMBOLS=")]
    for problem in ("'-A' is not a symbol", "'' is not a symbol", "'MSFT' is listed twice"):
        assert problem in symbols


def test_a_missing_replay_file_is_reported_with_the_other_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICK_SOURCE", "replay")
    monkeypatch.setenv("REPLAY_FILE", "")
    monkeypatch.setenv("MAX_TICKS", "-1")
    with pytest.raises(SystemExit):
        settings_or_exit(Settings)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("=")[0] for line in lines] == ["MAX_TICKS", "REPLAY_FILE"]
    assert "needs the path of a CSV, Parquet or Arrow file" in lines[1]


@pytest.mark.parametrize(("name", "fault"), [("a\nb", r"the control character '\\n'"), ("\udcff", "bytes in it that are not")])
def test_a_file_name_with_control_characters_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, fault: str) -> None:
    monkeypatch.setenv("REPLAY_FILE", name)
    with pytest.raises(ValueError, match=f"the name has {fault}.*: rename the file"):
        Settings()


def test_symbols_may_be_separated_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBOLS", "AAPL, BRK.B ,ES=F")
    assert Settings().symbols == ("AAPL", "BRK.B", "ES=F")
