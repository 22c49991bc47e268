"""Spark on a lake with a column added later: older files read as null, older versions are unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import from_arrow_type

from finance_job.writer import Writer
from tests.support.lakes import BAD, BuiltLake, numbered
from tests.support.newer_version import add_column_of_each_type, know_later_columns

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}  # which Spark does not know


def test_spark_reads_older_files_as_null(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = BuiltLake(tmp_path / "data")
    lake.store([*numbered(5), BAD])
    know_later_columns(monkeypatch)
    lake.writer = Writer(lake.paths, lake.identity)
    lake.store([*numbered(3, first=5), BAD])
    ticks = spark.read.format("delta").load(str(lake.paths.ticks)).orderBy("seq")
    assert [row.venue for row in ticks.collect()] == [None] * 5 + ["XNYS"] * 3
    quarantine = spark.read.format("delta").load(str(lake.paths.quarantine)).orderBy("kafka_offset")
    assert [row.attempts for row in quarantine.collect()] == [None, 3]
    older = spark.read.format("delta").option("versionAsOf", 1).load(str(lake.paths.ticks))
    assert older.count() == 5
    assert "venue" not in older.columns


def test_spark_reads_a_column_of_each_type(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = add_column_of_each_type(monkeypatch)
    lake = BuiltLake(tmp_path / "data")
    lake.store(numbered(3))
    types = {field.name: field.dataType for field in spark.read.format("delta").load(str(lake.paths.ticks)).schema}
    assert {name: types[name] for name in added.names} == {
        field.name: from_arrow_type(VIEWS.get(field.type, field.type)) for field in added
    }
