"""Compare a table's schema with what this version of the job writes: which columns to add, and when to refuse.

Delta does not check the schema for a writer that writes its own data files: a column that the table lacks would be in
the files, and no reader would see it. So at start, before its first write, `Writer` adds missing columns that may be null,
in a separate commit. Every other difference is refused. A column of another writer that may be null stays, and is null in
new rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finance_job.tables import PARTITIONS, schema
from finance_storage.accounting import Inconsistency

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deltalake import DeltaTable, Field, Schema

OTHER_VERSION = (
    "start the version of the job that wrote this table, or create another lake with DATA_DIR, which reads what the topic "
    "still has"
)
UNREAD = "the job would write rows that readers of the table cannot interpret"


class UnfitSchemaError(Exception):
    """The job must not write to this table. The message names the column and how to fix it."""


class Differences(NamedTuple):
    """Columns that the table lacks and the job may add, and differences that the job must refuse."""

    missing: tuple[Field, ...]
    faults: tuple[Inconsistency, ...]


def differences(name: str, table: DeltaTable) -> Differences:
    """Compare the table called `ticks` or `quarantine` with what the job writes."""
    return compare(_folder(table), (table.schema(), table.metadata().partition_columns), (schema(name), PARTITIONS[name]))


def compare(folder: str, table: tuple[Schema, Sequence[str]], job: tuple[Schema, Sequence[str]]) -> Differences:
    """Compare the table's schema and partition columns with those that the job writes. Pure."""
    (has, has_by), (writes, writes_by) = table, job
    theirs, ours = ({field.name.lower(): field for field in columns.fields} for columns in (has, writes))
    missing = [field for key, field in ours.items() if key not in theirs]
    return Differences(
        tuple(field for field in missing if field.nullable),
        (
            *_partitioning(folder, has_by, writes_by),
            *(_required(folder, field) for field in missing if not field.nullable),
            *(fault for key, field in ours.items() if key in theirs for fault in _other(folder, theirs[key], field)),
            *(_unwritten(folder, field) for key, field in theirs.items() if key not in ours and not field.nullable),
        ),
    )


def require_fit(compared: Differences) -> None:
    """Raise UnfitSchemaError unless the job may write."""
    for fault in compared.faults:
        raise UnfitSchemaError(str(fault))


def _partitioning(folder: str, has: Sequence[str], writes: Sequence[str]) -> Iterator[Inconsistency]:
    if list(has) != list(writes):
        theirs, ours = (" and ".join(names) or "nothing" for names in (has, writes))
        what = f"{folder} is partitioned by {theirs}, the job writes it partitioned by {ours}"
        yield Inconsistency(what, UNREAD, OTHER_VERSION)


def _required(folder: str, writes: Field) -> Inconsistency:
    what = f"{folder} has no column {writes.name}, the job writes {_kind(writes)} NOT NULL there"
    return Inconsistency(what, "the existing rows would have no value in a column that must have one", OTHER_VERSION)


def _other(folder: str, has: Field, writes: Field) -> Iterator[Inconsistency]:
    if has.name != writes.name:
        what = f"{folder} has a column {has.name}, the job writes {writes.name}, which engines treat as the same column"
        yield Inconsistency(what, UNREAD, f"rename {has.name}, or {OTHER_VERSION}")
    elif has.type != writes.type:
        what = f"{folder} has column {has.name} as {_kind(has)}, the job writes {_kind(writes)}"
        yield Inconsistency(what, UNREAD, OTHER_VERSION)
    elif writes.nullable and not has.nullable:
        what = f"{folder} has column {has.name} as {_kind(has)} NOT NULL, the job may write NULL there"
        yield Inconsistency(what, "new rows might break the table's NOT NULL constraint", _drop_not_null(folder, has))


def _unwritten(folder: str, has: Field) -> Inconsistency:
    what = f"{folder} has column {has.name} as {_kind(has)} NOT NULL, the job does not write it"
    return Inconsistency(what, "each new row would break the table's NOT NULL constraint", _drop_not_null(folder, has))


def _drop_not_null(folder: str, has: Field) -> str:
    return f"allow NULL in it, in Spark SQL: ALTER TABLE delta.`.../{folder}` ALTER COLUMN {has.name} DROP NOT NULL"


def _kind(field: Field) -> str:
    return str(field.type.type).upper()


def _folder(table: DeltaTable) -> str:
    return table.table_uri.rstrip("/").rpartition("/")[2]
