"""The writer makes every commit that adds or replaces rows, for the stream, repairs and maintenance.

Why no row is written twice, even with two drivers: all commits to a table carry a Delta transaction with the same application
id, and delta-rs refuses a commit if another one with this id has been made since the table was read. So if two drivers continue
from the same position, one of them is refused, however late it wakes. Each driver raises the lake's *epoch* when it starts,
with a commit to each table. A driver whose commit is refused reads the newest epoch. If it is not its own, another driver has
taken over and FencedError ends this one. It must not read the table again and go on.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import RemoveAction

from finance_contract import CONTRACT_VERSION
from finance_job.schema_guard import differences, require_fit
from finance_job.tables import PARTITIONS, TABLES, initial_metadata
from finance_job.transaction import NO_HOOKS, actions, append, still_final
from finance_storage import digest, place
from finance_storage.accounting import ahead
from finance_storage.commit_metadata import CommitMetadata, half_redriven, half_retracted
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.lake_identity import CorruptStateError, identity_of
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from deltalake import Field
    from deltalake.transaction import AddAction

    from finance_job.transaction import Change, LiveFile
    from finance_kafka.offsets import OffsetRange, Offsets
    from finance_storage.commit_metadata import Total
    from finance_storage.data_file import WrittenFile
    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths

MAX_ATTEMPTS = 20


class FencedError(Exception):
    """Another driver has taken over the lake and this one must end. The message is for the operator."""


class ConflictError(Exception):
    """Another writer has changed the table in conflict with this commit. A retry may succeed."""


class _Opened(NamedTuple):
    """A cached table and its newest commit metadata; valid because no other driver commits to the table."""

    table: DeltaTable
    metadata: CommitMetadata


class Writer:
    """Commits to the tables of one lake, as one driver."""

    def __init__(self, paths: LakePaths, identity: Identity) -> None:
        """Take over the lake by raising the epoch of both tables, then add missing columns to their schemas.

        A table without an identity gets it in the same commit. Raises UnfitSchemaError before anything is written, FencedError
        if yet another driver takes over meanwhile, ConflictError if other commits keep getting in first, IrregularError for a
        link anywhere in a table, because delta-rs would follow it.
        """
        for name in TABLES:
            place.require_unlinked(paths.root, paths.table(name))
        self._paths = paths
        self._identity = identity
        self._driver = secrets.token_hex(8)
        self._opened: dict[str, _Opened] = {}
        tables = {name: self._read(name) for name in TABLES}
        for name, opened in tables.items():
            require_fit(differences(name, opened.table))
        self.epoch = 1 + max(opened.metadata.epoch for opened in tables.values())
        for name in TABLES:
            self._take_over(name)
        for name in TABLES:
            self.add_columns(name, differences(name, self.table(name)).missing)

    def table(self, name: str) -> DeltaTable:
        """Return a table at its newest commit."""
        return self._newest(name).table

    def metadata(self, name: str) -> CommitMetadata:
        """Return the metadata of a table's newest commit."""
        return self._newest(name).metadata

    @property
    def identity(self) -> Identity:
        """The identity of the lake."""
        return self._identity

    @property
    def position(self) -> Offsets:
        """The next offset that the lake needs, by Kafka partition."""
        return self.metadata(TICKS).position

    def start(self, partition: int) -> int:
        """Return the next offset of a partition, including one added to the topic since the last commit."""
        return self.position.get(partition, self._identity.start(partition))

    def half_committed(self) -> dict[int, OffsetRange]:
        """Return the offsets of a batch that only the quarantine has; empty if there is none."""
        return ahead(self.position, self.metadata(QUARANTINE).position, self._identity)

    def half_redriven(self) -> OffsetSet:
        """Return the offsets that an unfinished redrive has appended to ticks and not yet removed from the quarantine."""
        return half_redriven(self.metadata(TICKS), self.metadata(QUARANTINE))

    def half_retracted(self) -> OffsetSet:
        """Return the offsets that an unfinished retraction has appended to the quarantine and not yet removed from ticks."""
        return half_retracted(self.metadata(TICKS), self.metadata(QUARANTINE))

    def commit(
        self,
        name: str,
        change: Change,
        *,
        is_backfill: bool = False,
        redriven: OffsetSet | None = None,
        retracted: OffsetSet | None = None,
    ) -> int:
        """Commit a change together with the position after its offsets; return the table's new version.

        A backfill does not change the position. `redriven` are the offsets that a redrive moves with this commit, `retracted`
        those that a retraction moves. Raises FencedError, ConflictError.
        """
        before = self.metadata(name)
        ends = {} if is_backfill else {partition: span.end for partition, span in change.offsets.items()}
        metadata = self._next(
            before,
            offsets=dict(change.offsets),
            rows=dict(change.rows),
            digest=digest.to_text(digest.add([change.digest])),
            position=before.position | ends,
            total=before.total.plus(sum(change.rows.values()), change.digest, change.holes),
            redrives=before.redrives + (redriven is not None),
            redriven=redriven if redriven and name == TICKS else {},
            retractions=before.retractions + (retracted is not None),
            retracting=retracted if retracted and name == QUARANTINE else {},
            finalized_until=still_final(before.finalized_until, change),
        )
        with self._refusing_conflicts(name):
            return self._write(name, actions(change.added, change.removed), metadata)

    def restate(self, name: str, identity: Identity, position: Offsets, total: Total) -> None:
        """Commit the state of a repaired table: its identity with known losses, its position and its total.

        No day stays sealed, because a repair may have changed what a manifest says of the quarantine and of losses too.
        """
        self._identity = identity
        metadata = self._next(self.metadata(name), position=dict(position), total=total, finalized_until=None)
        with self._refusing_conflicts(name):
            self._set_identity(name, metadata)

    def seal(self, until: date) -> int:
        """Commit that all days before `until` are sealed; return the new version of ticks. Raises as `commit` does."""
        before = self.metadata(TICKS)
        metadata = self._next(before, redriven=before.redriven, finalized_until=until)
        with self._refusing_conflicts(TICKS):
            return self._write(TICKS, [], metadata)

    def add_columns(self, name: str, columns: Sequence[Field]) -> None:
        """Add those of these nullable columns that the table lacks; they read as null in existing files.

        Older versions of the table do not change. Raises FencedError, ConflictError.
        """
        opened = self._newest(name)
        existing = {field.name for field in opened.table.schema().fields}
        if not (missing := [column for column in columns if column.name not in existing]):
            return
        metadata = self._next(opened.metadata)
        with self._refusing_conflicts(name):
            opened.table.alter.add_columns(
                missing, commit_properties=self._properties(name, metadata), post_commithook_properties=NO_HOOKS
            )
        self._newly_opened(name, opened.table, metadata)

    def compact(self, name: str, added: Sequence[WrittenFile], removed: Sequence[LiveFile], why: str) -> None:
        """Commit new files with the same rows, marked as such (`dataChange` false); earlier commit metadata stays valid."""
        opened = self._newest(name)
        properties = CommitProperties(
            custom_metadata={"maintenance": why}, app_transactions=[self._transaction(name, opened.metadata)]
        )
        with self._refusing_conflicts(name):
            append(opened.table, PARTITIONS[name], actions(added, removed, data_change=False), properties)

    def invalidate_cache(self) -> None:
        """Discard the cached tables, because this process has changed them or a commit has failed."""
        self._opened.clear()

    def _take_over(self, name: str) -> None:
        for _ in range(MAX_ATTEMPTS):
            opened = self._read(name)
            if opened.metadata.driver == self._driver:  # an earlier attempt has succeeded, and its answer was lost
                self._opened[name] = opened
                return
            if opened.metadata.epoch >= self.epoch:
                raise FencedError(self._fenced(opened.metadata.epoch))
            self._opened[name] = opened
            moving = {"redriven": opened.metadata.redriven, "retracting": opened.metadata.retracting}
            metadata = self._next(opened.metadata, driver=self._driver, **moving)
            try:
                if _has_identity(opened.table):
                    self._write(name, [], metadata)
                else:
                    self._set_identity(name, metadata)
            except CommitFailedError:
                continue  # the previous driver has committed meanwhile
            return
        raise ConflictError(f"another writer keeps committing to {self._paths.table(name)}: stop it, then start the job again")

    def _next(self, before: CommitMetadata, **changes: object) -> CommitMetadata:
        """Return the metadata of the commit after `before`: unchanged and without new rows, except for `changes`."""
        empty = {"offsets": {}, "rows": {}, "digest": digest.to_text(0)}
        kept = {name: getattr(before, name) for name in ("position", "total", "redrives", "retractions", "finalized_until")}
        return CommitMetadata(
            **{**empty, **kept, **changes},
            contract=CONTRACT_VERSION,
            lake=self._identity.lake,
            epoch=self.epoch,
            sequence=before.sequence + 1,
        )

    def _write(self, name: str, entries: list[AddAction | RemoveAction], metadata: CommitMetadata) -> int:
        table = self._newest(name).table
        custom: dict[str, object] = {"userMetadata": metadata.encode()}
        if not any(isinstance(entry, RemoveAction) for entry in entries):
            custom["isBlindAppend"] = True
        transaction = self._transaction(name, metadata)
        append(table, PARTITIONS[name], entries, CommitProperties(custom_metadata=custom, app_transactions=[transaction]))
        self._opened[name] = _Opened(table, metadata)
        return int(table.version())

    def _set_identity(self, name: str, metadata: CommitMetadata) -> None:
        table = self._newest(name).table
        table.alter.set_table_properties(
            self._identity.properties(),
            raise_if_not_exists=False,
            commit_properties=self._properties(name, metadata),
            post_commithook_properties=NO_HOOKS,
        )
        self._newly_opened(name, table, metadata)

    def _newly_opened(self, name: str, table: DeltaTable, metadata: CommitMetadata) -> None:
        table.update_incremental()
        self._opened[name] = _Opened(table, metadata)

    def _properties(self, name: str, metadata: CommitMetadata) -> CommitProperties:
        custom = {"userMetadata": metadata.encode()}
        return CommitProperties(custom_metadata=custom, app_transactions=[self._transaction(name, metadata)])

    def _transaction(self, name: str, metadata: CommitMetadata) -> Transaction:
        return Transaction(f"financelake:{self._identity.lake}:{name}", metadata.sequence)

    def _newest(self, name: str) -> _Opened:
        if name not in self._opened:
            opened = self._read(name)
            if opened.metadata.epoch != self.epoch:
                raise FencedError(self._fenced(opened.metadata.epoch))
            self._opened[name] = opened
        return self._opened[name]

    def _read(self, name: str) -> _Opened:
        table = open_table(self._paths.table(name))
        if table is None:
            raise CorruptStateError(f"{self._paths.table(name)} does not exist: `make recover` repairs it")
        return _Opened(table, newest_metadata(table, self._paths.table(name)) or initial_metadata(self._identity))

    @contextmanager
    def _refusing_conflicts(self, name: str) -> Iterator[None]:
        """Raise FencedError if another driver has taken over, ConflictError if another change got in the way."""
        try:
            yield
        except CommitFailedError as error:
            self._opened.clear()
            self._newest(name)
            raise ConflictError(f"another writer has changed {self._paths.table(name)} meanwhile ({error})") from None

    def _fenced(self, epoch: int) -> str:
        return (
            f"another driver has taken over the lake at {self._paths.root}: its epoch is {epoch}, the epoch of this driver is "
            f"{self.epoch}. This driver has written nothing since and must not go on"
        )


def _has_identity(table: DeltaTable) -> bool:
    try:
        return identity_of(table) is not None
    except CorruptStateError:
        return False
