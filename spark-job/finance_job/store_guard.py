"""What the job checks of an object store before it uses it: that it answers, and that it keeps put-if-absent under a race.

Everything that keeps two drivers apart rests on one promise of the store: of several conditional puts of one name, one
succeeds. Some servers do not keep it, and a table there would lose commits without an error. So each start of the job lets
several threads commit the same version of a scratch table, and refuses the store if two of them succeed.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from finance_job.guard import StartupRefusedError
from finance_job.transaction import NO_HOOKS
from finance_role import beneath
from finance_storage import place
from finance_storage.bucket import BucketPath, CredentialsError
from finance_storage.errors import StoreUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from finance_storage.paths import LakePaths

RETRY_SECONDS = 1.0
ROUNDS = 8
WRITERS = 8
SCHEMA = Schema.from_arrow(pa.schema([pa.field("probe", pa.int64())]))
# What Arrow's errors say if it is the request that is wrong: waiting does not fix it.
REFUSALS = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID")


def require_fit_store(paths: LakePaths, stopping: threading.Event, log: FilteringBoundLogger) -> bool:
    """Wait until the store of a lake in a bucket answers, and probe it; False if `stopping` is set first. A folder is fit.

    Raises StartupRefusedError if the store refuses the keys, or does not keep put-if-absent.
    """
    if not isinstance(paths.root, BucketPath):
        return True
    if not _wait_until_reachable(paths.root, stopping, log):
        return False
    with outages_named(paths):
        winners = race(paths.root / f".probe-{uuid.uuid4()}")
    if any(count != 1 for count in winners):
        raise StartupRefusedError(
            f"the object store of {paths.root} does not keep put-if-absent: of {WRITERS} commits of one version {max(winners)} "
            "succeeded. Two jobs could overwrite each other's commits there: use a store that honours If-None-Match "
            "(docs/OBJECT-STORE.md)"
        )
    return True


def race(scratch: BucketPath) -> list[int]:
    """Let threads commit the same version of a scratch table, and return how many succeeded, by round. Removes the table."""
    try:
        options = place.delta_options(scratch)
        DeltaTable.create(place.uri(scratch), SCHEMA, storage_options=options)
        tables = [DeltaTable(place.uri(scratch), storage_options=options) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            return [_round(pool, tables) for _ in range(ROUNDS)]
    finally:
        scratch.remove()


def _round(pool: ThreadPoolExecutor, tables: list[DeltaTable]) -> int:
    start = threading.Barrier(WRITERS)

    def commits(table: DeltaTable) -> bool:
        start.wait()
        try:
            properties = CommitProperties(max_commit_retries=0)
            table.create_write_transaction(
                [], "append", SCHEMA, commit_properties=properties, post_commithook_properties=NO_HOOKS
            )
        except CommitFailedError:
            return False
        return True

    winners = sum(pool.map(commits, tables))
    for table in tables:
        table.update_incremental()
    return winners


@contextmanager
def outages_named(paths: LakePaths) -> Iterator[None]:
    """Raise StoreUnavailableError for an error of an object store, which a later attempt may not meet."""
    try:
        yield
    except (OSError, DeltaError) as error:
        if not paths.is_in_a_bucket or isinstance(error, (beneath.IrregularError, StoreUnavailableError)):
            raise
        raise StoreUnavailableError(f"the object store of {paths.root} has failed: {first_line(error)}") from error


def _wait_until_reachable(root: BucketPath, stopping: threading.Event, log: FilteringBoundLogger) -> bool:
    logged = False
    while not stopping.is_set():
        try:
            root.require_bucket()
            root.listed()
        except (CredentialsError, FileNotFoundError) as error:
            raise StartupRefusedError(str(error)) from None
        except OSError as error:
            if any(refusal in str(error) for refusal in REFUSALS):
                raise StartupRefusedError(f"the object store refuses to list {root}: {first_line(error)}") from None
            if not logged:
                log.warning("waiting", reason=first_line(error))
                logged = True
            stopping.wait(RETRY_SECONDS)
        else:
            return True
    return False
