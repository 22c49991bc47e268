"""Spark's way to an object store: only where its jars are, and without a secret in its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from structlog.testing import capture_logs

from finance_job import s3a
from finance_job.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

KEYS = "[default]\naws_access_key_id = a\naws_secret_access_key = do-not-tell\n"


def settings_of(folder: Path, *, jars: bool, **others: str | float) -> Settings:
    (folder / "keys").write_text(KEYS)
    (folder / "spark").mkdir()
    (folder / "s3a").mkdir()
    if jars:
        (folder / "s3a" / "hadoop-aws-3.5.0.jar").touch()
    bucket = {"lake_uri": "s3://lake/finance", "s3_endpoint": "http://127.0.0.1:1", "s3_credentials_file": folder / "keys"}
    return Settings.model_validate({"spark_jars": folder / "spark", **bucket, **others})


def test_with_its_jars_spark_reads_a_bucket_and_its_options_have_no_secret(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, jars=True)
    options = s3a.options(settings)
    assert options["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:1"
    assert options["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert options["spark.hadoop.fs.s3a.auth.profile.file"] == str(tmp_path / "keys")
    assert "do-not-tell" not in str(options)
    assert s3a.environment(settings) == {"SPARK_DIST_CLASSPATH": f"{tmp_path}/s3a/*"}
    with capture_logs() as logs:
        assert s3a.bars_seconds(settings, structlog.get_logger()) == 60
    assert not logs


def test_executors_get_the_jars_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef")
    settings = settings_of(tmp_path, jars=True, spark_master="spark://host:7077", spark_secret_file=str(tmp_path / "secret"))
    assert s3a.options(settings)["spark.executor.extraClassPath"] == f"{tmp_path}/spark/*:{tmp_path}/s3a/*"


def test_without_its_jars_derived_tables_are_off_and_one_line_says_how_to_get_them(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, jars=False)
    with capture_logs() as logs:
        assert s3a.bars_seconds(settings, structlog.get_logger()) == 0
    assert [entry["event"] for entry in logs] == [s3a.MISSING]
    assert s3a.options(settings) == s3a.environment(settings) == {}


def test_a_lake_in_a_folder_or_without_derived_tables_needs_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, jars=False, lake_uri="", s3_endpoint="", s3_credentials_file="")
    wanted_none = settings.model_copy(update={"lake_uri": "s3://lake/finance", "bars_seconds": 0.0})
    with capture_logs() as logs:
        assert s3a.bars_seconds(settings, structlog.get_logger()) == 60
        assert s3a.bars_seconds(wanted_none, structlog.get_logger()) == 0
    assert not logs
    assert s3a.options(settings) == s3a.environment(settings) == {}
