"""The object store of S3=1: its keys, and which lakes can be started with it."""

from __future__ import annotations

import configparser
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from finance_role import own_store
from finance_role.settings import PlaceSettings


def test_the_keys_are_drawn_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    file = own_store.make_credentials(tmp_path / "data")
    text = file.read_text()
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    assert parser["default"]["aws_access_key_id"] == own_store.ACCESS_KEY
    assert len(parser["default"]["aws_secret_access_key"]) >= own_store.SECRET_BYTES
    assert own_store.make_credentials(tmp_path / "data").read_text() == text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_two_lakes_have_two_keys(tmp_path: Path) -> None:
    one, other = (own_store.make_credentials(tmp_path / name).read_text() for name in ("one", "other"))
    assert one != other


@pytest.mark.parametrize(
    ("folder", "chosen", "uri", "expected"),
    [
        ("", True, "", None),
        ("", False, "", None),
        ("finance_delta", False, "", None),
        ("finance_delta", True, "", "start it without S3=1"),
        ("s3/lake", True, "", None),
        ("s3/lake", False, "", "start it with S3=1"),
        ("s3/lake", False, "s3://elsewhere/lake", None),
    ],
)
def test_a_lake_keeps_its_place(tmp_path: Path, folder: str, chosen: bool, uri: str, expected: str | None) -> None:  # noqa: FBT001
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    refusal = own_store.refusal(tmp_path, chosen=chosen, lake_uri=uri)
    assert (refusal is None) if expected is None else (expected in (refusal or ""))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for key in ("DATA_DIR", "LAKE_URI", "S3_ENDPOINT", "S3_CREDENTIALS_FILE", "S3_PORT"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("S3", "1")
    return monkeypatch


def test_s3_alone_says_where_the_lake_is(s3: pytest.MonkeyPatch) -> None:
    s3.setenv("DATA_DIR", "/somewhere")
    s3.setenv("S3_PORT", "7171")
    settings = PlaceSettings()
    assert settings.lake_uri == "s3://lake/finance"
    assert settings.s3_endpoint == "http://127.0.0.1:7171"
    assert settings.s3_credentials_file == Path("/somewhere/secrets/s3")
    s3.setenv("LAKE_URI", "s3://lake/finance")
    assert PlaceSettings().lake_uri == "s3://lake/finance"
    s3.setenv("S3", "0")
    s3.delenv("LAKE_URI")
    assert PlaceSettings() == PlaceSettings(s3_port=7171)


@pytest.mark.parametrize(
    ("key", "value"),
    [("LAKE_URI", "s3://another/lake"), ("S3_ENDPOINT", "https://s3.example.com"), ("S3_CREDENTIALS_FILE", "/keys")],
)
def test_s3_and_another_store_exclude_each_other(s3: pytest.MonkeyPatch, key: str, value: str) -> None:
    s3.setenv(key, value)
    with pytest.raises(ValidationError, match="leave this key empty, or set S3=0"):
        PlaceSettings()
