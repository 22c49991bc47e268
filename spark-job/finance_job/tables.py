"""The two tables and their creation, with deltalake in milliseconds; Spark's builder takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema

from finance_contract import CONTRACT_VERSION
from finance_storage import digest, place, schemas
from finance_storage.commit_metadata import CommitMetadata, Total
from finance_storage.delta_table import open_table
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import STATISTICS

if TYPE_CHECKING:
    from finance_storage.lake_identity import Identity
    from finance_storage.place import Place

PARTITIONS = {name: fields.names for name, fields in schemas.PARTITIONS.items()}
TABLES = (QUARANTINE, TICKS)  # in the order of commits


def create_tables(paths: LakePaths, identity: Identity) -> None:
    """Create the tables that do not exist yet, each with the lake's identity and first position in its first commit.

    Raises IrregularError if the path of a table is a link.
    """
    for name in TABLES:
        place.require_unlinked(paths.root, paths.table(name))
        if open_table(paths.table(name)) is None:
            _create(paths.table(name), name, identity)


def initial_metadata(identity: Identity) -> CommitMetadata:
    """Return the commit metadata of a table without rows."""
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
    """Return the schema with which this version of the job creates and writes a table."""
    return Schema.from_arrow(pa.schema([*schemas.FIELDS[name], *schemas.PARTITIONS[name]]))


def _create(folder: Place, name: str, identity: Identity) -> None:
    DeltaTable.create(
        place.uri(folder),
        schema(name),
        partition_by=PARTITIONS[name],
        configuration={**_properties(name), **identity.properties()},
        raise_if_key_not_exists=False,
        storage_options=place.delta_options(folder),
        commit_properties=CommitProperties(custom_metadata={"userMetadata": initial_metadata(identity).encode()}),
    )


def _properties(name: str) -> dict[str, str]:
    # Any Delta reader can open these tables: reader version 1, writer version 2, no features that need newer ones.
    return {
        "delta.enableDeletionVectors": "false",
        "delta.columnMapping.mode": "none",
        "delta.dataSkippingStatsColumns": ",".join(STATISTICS[name]),
        # The same retention as VACUUM: once the files of a version are removed, its log entry is of no use.
        "delta.logRetentionDuration": "interval 7 days",
    }
