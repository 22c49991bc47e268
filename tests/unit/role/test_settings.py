"""Settings: read once, frozen, and all wrong keys named together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from finance_role.settings import RoleSettings, settings_or_exit


class Settings(RoleSettings):
    """Two keys in addition to the common ones."""

    ticks_per_second: float = Field(100, ge=0)
    max_ticks: int = 0


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("DATA_DIR", "TICKS_PER_SECOND", "MAX_TICKS"):
        monkeypatch.delenv(key, raising=False)


def test_a_field_is_read_from_the_key_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_PER_SECOND", "0.2")
    monkeypatch.setenv("DATA_DIR", "/elsewhere")
    assert settings_or_exit(Settings) == Settings(ticks_per_second=0.2, data_dir=Path("/elsewhere"))


def test_an_empty_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_TICKS", "")
    assert settings_or_exit(Settings).max_ticks == 0


def test_keys_of_other_roles_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HEAP", "1g")
    assert settings_or_exit(Settings) == Settings()


def test_all_wrong_keys_are_named_together_and_the_exit_code_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKS_PER_SECOND", "-1")
    monkeypatch.setenv("MAX_TICKS", "many")
    with pytest.raises(SystemExit) as caught:
        settings_or_exit(Settings)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["TICKS_PER_SECOND='-1'", "MAX_TICKS='many'"]


def test_settings_are_immutable() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.max_ticks = 1  # type: ignore[misc]
