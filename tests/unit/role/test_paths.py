"""Paths are literal: every library reads any name that a file system accepts as one file, or the name is refused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_role.literal_paths import PathError, by_name, fault, for_duckdb
from finance_role.settings import RoleSettings
from finance_storage.delta_table import open_table
from tests.support.nasty_paths import ANY_NAME, NASTY, REFUSED


def _read(file: Path) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        return connection.execute("SELECT * FROM read_parquet(?)", [str(for_duckdb(file))]).fetchall()


def _write(file: Path, number: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        pq.write_table(pa.table({"symbol": [number]}), stream)
    return file


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_duckdb_reads_exactly_the_file_with_that_name(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "a" / "decoy", 1)
    assert _read(_write(tmp_path / name / f"{name[:100]}.parquet", 7)) == [(7,)]


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_NAME, min_size=1, max_size=3))
def test_a_folder_of_any_name_is_one_folder_to_duckdb_and_to_deltalake(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base, *(name.encode()[:80].decode(errors="ignore") or "x" for name in names))
        folder.mkdir(parents=True)
        assert fault(folder) is None
        assert _read(_write(folder / "x.parquet", 7)) == [(7,)]
        DeltaTable.create(str(folder), Schema.from_arrow(pa.schema([pa.field("a", pa.int64())])))
        assert (folder / "_delta_log" / f"{0:020d}.json").is_file()
        table = open_table(folder)
        assert table is not None
        assert table.version() == 0


@pytest.mark.parametrize(("name", "message"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_a_name_that_deltalake_cannot_handle_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / name)
    for folder in (tmp_path / name / "data", link):  # deltalake resolves links
        what = fault(folder)
        assert what is not None
        assert message in what
        assert ascii(name)[1:-1] in what
        assert what.isprintable()


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "a\x1bb"], ids=ascii)
def test_deltalake_fails_on_refused_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(Exception, match=r"Kernel error|Generic error|contained non-unicode|surrogates"):
        DeltaTable.create(str(tmp_path / name), Schema.from_arrow(pa.schema([pa.field("a", pa.int64())])))


def test_no_role_starts_on_a_folder_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "e%20f"))
    with pytest.raises(ValueError, match=r"DATA_DIR|data_dir") as refused:
        RoleSettings()
    assert "'%20' in it, which deltalake takes for another character: choose another folder" in str(refused.value)
    monkeypatch.delenv("DATA_DIR")
    (tmp_path / "100%25").mkdir()
    monkeypatch.chdir(tmp_path / "100%25")  # the default is relative to it
    with pytest.raises(ValueError, match="'%25' in it"):
        RoleSettings()


def test_a_plain_path_needs_no_alias_and_a_removed_alias_is_recreated(tmp_path: Path) -> None:
    assert for_duckdb(tmp_path) == tmp_path
    odd = _write(tmp_path / "*" / "x", 7).parent
    alias = for_duckdb(odd)
    assert alias == for_duckdb(odd)
    alias.unlink()  # as a cleanup of temporary files does
    assert _read(odd / "x") == [(7,)]
    assert by_name(f"{for_duckdb(odd)}/x is torn") == f"{odd}/x is torn"


def test_a_temporary_folder_with_an_odd_name_is_skipped_and_having_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "[tmp]"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    assert _read(_write(tmp_path / "b*" / "x", 7)) == [(7,)]
    assert not list(odd.iterdir())

    def full(**_: object) -> str:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(PathError, match=r"needs an alias for DuckDB.*set TMPDIR"):
        for_duckdb(tmp_path / "c*")
