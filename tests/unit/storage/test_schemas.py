"""A column that is added to `finance_storage.schemas`, and nowhere else, has its type in Arrow, Delta and DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable

from finance_job.decode_fast import MESSAGE_FIELDS
from finance_lake.lake import Lake
from finance_storage.paths import TICKS
from finance_storage.schemas import LOCAL_MICROSECONDS, PLAIN, SQL_TYPES, TICK_FIELDS, shape_fault, sql_type
from tests.support.lakes import BuiltLake, numbered
from tests.support.newer_version import add_column_of_each_type

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_new_column_has_its_type_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = add_column_of_each_type(monkeypatch)
    built = BuiltLake(tmp_path / "data")
    built.store(numbered(3))
    with Lake(built.paths.root) as lake:
        forms = {
            "delta": pa.schema(DeltaTable(str(built.paths.ticks)).schema().to_arrow()),
            "ticks": lake.ticks().arrow.schema,
            "sql": lake.sql("SELECT * FROM ticks").arrow.schema,
            "sql without rows": lake.sql("SELECT * FROM ticks WHERE false").arrow.schema,
        }
    for form, columns in forms.items():
        assert set(added.names) < set(columns.names), form
        assert shape_fault(TICKS, columns, pa.schema([*TICK_FIELDS, *added])) is None, form


def test_each_type_that_may_be_added_has_one_in_sql() -> None:
    assert all(sql_type(kind) for kind in PLAIN)
    assert set(SQL_TYPES) - PLAIN == {LOCAL_MICROSECONDS}
    assert sql_type(pa.list_(pa.int64())) is None


def test_decoded_fields_have_the_types_of_their_columns() -> None:
    assert [field.name for field in MESSAGE_FIELDS] == ["symbol", "price", "size", "ts_event", "seq", "source"]
    assert {field.name for field in MESSAGE_FIELDS if field.type != TICK_FIELDS.field(field.name).type} == {"ts_event"}
