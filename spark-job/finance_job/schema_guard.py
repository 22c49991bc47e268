"""The schema of a table against what this version of the job writes: what is added to it, and what the job must not touch.

Delta checks no schema for a writer that makes its data files itself: a column that the table does not have would be in the
files, and no reader would see it. So before the first write of a start (`Writer`) a column that may be null is added, by a
commit of its own. All else is refused. A column of somebody else that may be null is left alone, and is null in new rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finance_job.tables import PARTITIONS, schema
from finance_storage.accounting import Inconsistency

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deltalake import DeltaTable, Field, Schema

OTHER_VERSION = (
    "start the version of the job that this table belongs to; or begin another lake with DATA_DIR, which reads from the topic "
    "what that still has"
)
UNREAD = "rows would be written that readers of the table cannot make sense of"


class UnfitSchemaError(Exception):
    """The job must not write to this table; the message names the column, and how to mend it."""


class Differences(NamedTuple):
    """What a table lacks that may be added, and what the job must not go on with."""

    missing: tuple[Field, ...]
    faults: tuple[Inconsistency, ...]


def differences(name: str, table: DeltaTable) -> Differences:
    """Compare the table called `ticks` or `quarantine` with what the job writes."""
    return compare(_folder(table), (table.schema(), table.metadata().partition_columns), (schema(name), PARTITIONS[name]))


def compare(folder: str, table: tuple[Schema, Sequence[str]], job: tuple[Schema, Sequence[str]]) -> Differences:
    """Compare what a table has with what the job writes: the schema, and the columns that it is partitioned by. Pure."""
    (has, has_by), (writes, writes_by) = table, job
    theirs, ours = ({field.name.lower(): field for field in one.fields} for one in (has, writes))
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


def require_fit(found: Differences) -> None:
    """Raise UnfitSchemaError unless the job may write."""
    for fault in found.faults:
        raise UnfitSchemaError(str(fault))


def _partitioning(folder: str, has: Sequence[str], writes: Sequence[str]) -> Iterator[Inconsistency]:
    if list(has) != list(writes):
        told = [" and ".join(names) or "nothing" for names in (has, writes)]
        yield Inconsistency(
            f"{folder} is partitioned by {told[0]}, the job writes it partitioned by {told[1]}", UNREAD, OTHER_VERSION
        )


def _required(folder: str, writes: Field) -> Inconsistency:
    what = f"{folder} has no column {writes.name}, the job writes {_kind(writes)} NOT NULL there"
    return Inconsistency(what, "the rows that the table has would lack what must not be lacking", OTHER_VERSION)


def _other(folder: str, has: Field, writes: Field) -> Iterator[Inconsistency]:
    if has.name != writes.name:
        what = f"{folder} has a column {has.name}, the job writes {writes.name}, which engines take for the same"
        yield Inconsistency(what, UNREAD, f"rename {has.name}, or {OTHER_VERSION}")
    elif has.type != writes.type:
        what = f"{folder} has column {has.name} as {_kind(has)}, the job writes {_kind(writes)}"
        yield Inconsistency(what, UNREAD, OTHER_VERSION)
    elif writes.nullable and not has.nullable:
        what = f"{folder} has column {has.name} as {_kind(has)} NOT NULL, the job may write NULL there"
        yield Inconsistency(what, "rows would break what the table promises", _drop_not_null(folder, has))


def _unwritten(folder: str, has: Field) -> Inconsistency:
    what = f"{folder} has column {has.name} as {_kind(has)} NOT NULL, the job does not write it"
    return Inconsistency(what, "each new row would break what the table promises", _drop_not_null(folder, has))


def _drop_not_null(folder: str, has: Field) -> str:
    return f"let it be null, in Spark's SQL: ALTER TABLE delta.`.../{folder}` ALTER COLUMN {has.name} DROP NOT NULL"


def _kind(field: Field) -> str:
    return str(field.type.type).upper()


def _folder(table: DeltaTable) -> str:
    return table.table_uri.rstrip("/").rpartition("/")[2]
