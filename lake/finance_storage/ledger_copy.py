"""A copy of a producer's ledger below the prefix of a lake in an object store, where `verify` reads it.

The producer appends to the ledger on its own disk. An object cannot be appended to, so the whole ledger is written again every
`COPY_SECONDS`, beside the run, and once more at its end.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finance_role import beneath
from finance_storage import place
from finance_storage.errors import StoreUnavailableError, first_line
from finance_storage.ledger import MAX_BYTES
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from finance_role.settings import PlaceSettings
    from finance_storage.place import Place

COPY_SECONDS = 10.0


@contextmanager
def copied(file: Path, settings: PlaceSettings, warn: Callable[..., object]) -> Iterator[None]:
    """Keep a copy of the ledger meanwhile, if the lake is in an object store.

    Raises OSError if the last copy fails, or if the keys cannot be read.
    """
    paths = LakePaths.of(settings)
    if not paths.is_in_a_bucket:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_copy_until, args=(ended, file, paths.ledgers, warn), name="ledger-copy", daemon=True)
    _try_to_copy(file, paths.ledgers, warn)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _copy(file, paths.ledgers)


def _copy_until(ended: threading.Event, file: Path, ledgers: Place, warn: Callable[..., object]) -> None:
    while not ended.wait(COPY_SECONDS):
        _try_to_copy(file, ledgers, warn)


def _try_to_copy(file: Path, ledgers: Place, warn: Callable[..., object]) -> None:
    try:
        _copy(file, ledgers)
    except StoreUnavailableError as error:
        warn("the ledger could not be copied, trying again", to=str(ledgers), reason=first_line(error))


def _copy(file: Path, ledgers: Place) -> None:
    place.write_whole(ledgers, ledgers / file.name, beneath.read(file.parents[1], file, MAX_BYTES))
