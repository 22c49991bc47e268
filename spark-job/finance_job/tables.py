"""The two tables, and how they are created: by deltalake, in milliseconds; Spark's builder takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema

from finance_contract import CONTRACT_VERSION
from finance_role import beneath
from finance_storage import digest, schemas
from finance_storage.commit_metadata import CommitMetadata, Total
from finance_storage.delta_table import open_table
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import STATISTICS

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.lake_identity import Identity

PARTITIONS = {name: fields.names for name, fields in schemas.PARTITIONS.items()}
TABLES = (QUARANTINE, TICKS)  # in the order of commits


def create_tables(paths: LakePaths, identity: Identity) -> None:
    """Create the tables that are not there yet: each with the lake's identity and first position in its first commit.

    Raises IrregularError where a link stands in the place of a table.
    """
    for name in TABLES:
        beneath.require_unlinked(paths.root, paths.table(name))
        if open_table(paths.table(name)) is None:
            _create(paths.table(name), name, identity)


def first_record(identity: Identity) -> CommitMetadata:
    """Give the record of a table that holds nothing yet."""
    return CommitMetadata(
        contract=CONTRACT_VERSION,
        offsets={},
        rows={},
        digest=digest.to_text(0),
        position=dict(identity.first),
        total=Total(),
        redrives=0,
        lake=identity.lake,
    )


def schema(name: str) -> Schema:
    """Give the schema of a table as this version of the job creates and writes it."""
    return Schema.from_arrow(pa.schema([*schemas.FIELDS[name], *schemas.PARTITIONS[name]]))


def _create(folder: Path, name: str, identity: Identity) -> None:
    DeltaTable.create(
        str(folder),
        schema(name),
        partition_by=PARTITIONS[name],
        configuration={**_properties(name), **identity.properties()},
        raise_if_key_not_exists=False,
        commit_properties=CommitProperties(custom_metadata={"userMetadata": first_record(identity).encode()}),
    )


def _properties(name: str) -> dict[str, str]:
    # Any Delta reader opens these tables: reader version 1, writer version 2, no feature that needs newer ones.
    return {
        "delta.enableDeletionVectors": "false",
        "delta.columnMapping.mode": "none",
        "delta.dataSkippingStatsColumns": ",".join(STATISTICS[name]),
        # As long as VACUUM keeps files that are no longer live: versions that cannot be read need no entry.
        "delta.logRetentionDuration": "interval 7 days",
    }
