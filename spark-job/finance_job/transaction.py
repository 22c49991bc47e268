"""Commit data files to a Delta table with Delta's own transaction.

`DataFrame.write` would have to receive the rows to commit them; here they are on disk already. `OptimisticTransaction` is what
that writer uses underneath. It is no stable interface: the version of Delta is pinned, and see docs/adr/0007.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyspark.sql import SparkSession

    from finance_job.data_file import DataFile
    from finance_lake.state.record import CommitRecord


class DeltaLog:
    """The transaction log of one table, to append to. Calls block until Delta has answered."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Open the log of an existing table."""
        # py4j's bridge is PySpark's own; there is no public one.
        self._jvm = cast("Any", spark._jvm)  # noqa: SLF001
        self._log = self._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, str(folder))  # noqa: SLF001

    def last_transaction(self, app_id: str) -> int | None:
        """Version of the application's newest transaction in the table; None if it has none."""
        version = self._begin().txnVersion(app_id)
        return None if version < 0 else int(version)

    def append(self, app_id: str, version: int, files: Sequence[DataFile], record: CommitRecord) -> int:
        """Commit the files under (app_id, version) with the record as user metadata; return the table's new version."""
        actions = [_add(file) for file in files] + [_txn(app_id, version)]
        return int(self._begin().commit(self._sequence(actions), self._operation(record)))

    def _begin(self) -> Any:  # noqa: ANN401
        nothing = self._jvm.scala.Option.empty()
        return self._log.startTransaction(nothing, nothing)

    def _sequence(self, actions: list[dict[str, Any]]) -> Any:  # noqa: ANN401
        parse = self._jvm.org.apache.spark.sql.delta.actions.Action.fromJson
        parsed = self._jvm.java.util.ArrayList()
        for action in actions:
            parsed.add(parse(msgspec.json.encode(action).decode()))
        return self._jvm.scala.jdk.javaapi.CollectionConverters.asScala(parsed).toSeq()

    def _operation(self, record: CommitRecord) -> Any:  # noqa: ANN401
        update = getattr(self._jvm.org.apache.spark.sql.delta, "DeltaOperations$StreamingUpdate")
        append = self._jvm.org.apache.spark.sql.streaming.OutputMode.Append()
        return update(append, record.query, record.batch, self._jvm.scala.Option.apply(record.encode()))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _add(file: DataFile) -> dict[str, Any]:
    return {
        "add": {
            "path": file.path,
            "partitionValues": file.partition_values,
            "size": file.size,
            "modificationTime": _now_ms(),
            "dataChange": True,
            "stats": msgspec.json.encode(file.statistics).decode(),
        }
    }


def _txn(app_id: str, version: int) -> dict[str, Any]:
    return {"txn": {"appId": app_id, "version": version, "lastUpdated": _now_ms()}}
