"""The ledger of a producer run: which of its numbered ticks the broker has acknowledged.

`data/ledger/<source>.jsonl` has one JSON object per line:

    {"source": "sim-7-20261124T120000Z-3fa9c1", "topic": "finance", "started": "2026-11-24T12:00:00+00:00", "settings": {...}}
    {"acknowledged": [[0, 4999], [6000, 6999]]}
    {"acknowledged": [[5000, 5999], [7000, 7041]], "failed": [[7042, 7042]]}
    {"ended": "2026-11-24T12:01:00+00:00", "made": 7043, "acknowledged": 7042, "unsent": 1, "malformed": 0}

A range `[first, last]` includes both ends; no number is in two ranges. `acknowledged`: the tick is in the topic, once.
`failed`: the client gave up on it, and it may or may not be in the topic. A number in neither has an unknown outcome: the run
was killed, or the broker has not answered yet, or the answer is not written yet. A run that stopped by itself ends with the
line that has `ended`, and the outcome of every number is known.

Lines are appended whole about once a second. A torn line is always the last one, and means that the machine crashed or the disk
was full.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from finance_role import beneath
from finance_storage import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from finance_storage.place import Place

Range = tuple[int, int]
MAX_NUMBER = 2**63 - 1
MAX_BYTES = 1 << 30  # enough for months of a run
WRITE_SECONDS = 1.0
SUFFIX = ".jsonl"


class Account(NamedTuple):
    """The content of a ledger: its first line, its last if the run stopped by itself, and merged ranges in ascending order."""

    header: dict[str, Any]
    ending: dict[str, Any] | None
    acknowledged: list[Range]
    failed: list[Range]

    @property
    def source(self) -> str:
        """The source whose ticks it numbers."""
        return str(self.header["source"])

    @property
    def end(self) -> int:
        """One more than the highest acknowledged number; 0 if there is none."""
        return self.acknowledged[-1][1] + 1 if self.acknowledged else 0

    @property
    def ticks(self) -> int:
        """The number of acknowledged ticks."""
        return sum(last + 1 - first for first, last in self.acknowledged)


class Ledgers(NamedTuple):
    """All ledgers of a lake.

    Attributes:
        accounts: the ledgers that can be read, by source
        unbegun: sources whose ledgers have no complete line, because the run was killed before its first tick
        wrong: one sentence about each ledger that is not valid

    """

    accounts: dict[str, Account]
    unbegun: list[str]
    wrong: list[str]


def read(file: Place) -> Account:
    """Read a ledger, even while it is being written. Raises ValueError if it is not valid or a part of it is missing.

    A torn last line is ignored, because a crash leaves one. The totals in the last line reveal any other missing line.
    """
    return _read(file, place.read(file.parents[1], file, MAX_BYTES))


def _read(file: Place, content: bytes) -> Account:
    if not (lines := content.split(b"\n")[:-1]):
        raise ValueError(f"{file} does not begin with a complete line")
    header, *entries = (_object(file, line) for line in lines)
    if not isinstance(header.get("source"), str):
        raise ValueError(  # noqa: TRY004
            f"{file} does not begin with the name of its source"
        )
    ending = entries.pop() if entries and "ended" in entries[-1] else None
    account = Account(header, ending, _ranges(file, entries, "acknowledged"), _ranges(file, entries, "failed"))
    _require_all_lines(file, account)
    return account


def read_all(folder: Place, topic: str) -> Ledgers:
    """Read the ledgers in a folder that belong to a topic."""
    ledgers = Ledgers({}, [], [])
    for file in (folder / name for name in sorted(_names(folder)) if name.endswith(SUFFIX)):
        try:
            content = place.read(file.parents[1], file, MAX_BYTES)
            if b"\n" not in content:
                ledgers.unbegun.append(file.stem)
                continue
            account = _read(file, content)
        except (ValueError, beneath.IrregularError) as error:
            ledgers.wrong.append(str(error))
            continue
        if account.source in ledgers.accounts:
            ledgers.wrong.append(f"{file} has the same source as another ledger: {account.source}")
        elif account.header.get("topic", topic) == topic:
            ledgers.accounts[account.source] = account
    return ledgers


def _names(folder: Place) -> list[str]:
    try:
        return list(place.names(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


class _Figures(msgspec.Struct):
    acknowledged: int | None = None
    unsent: int = 0


def _require_all_lines(file: Place, account: Account) -> None:
    try:
        figures = msgspec.convert(account.ending or {}, _Figures)
    except msgspec.ValidationError as error:
        raise ValueError(f"{file} has a last line that is not a ledger entry ({error})") from None
    failed = sum(last + 1 - first for first, last in account.failed)
    # If the last ticks of a run got no answer, the run counts the answers for other ticks of their block, but writes no ranges.
    unanswered = figures.acknowledged is not None and figures.acknowledged > account.ticks and figures.unsent > failed
    if figures.acknowledged not in (None, account.ticks) and not unanswered:
        counts = f"its last line counts {figures.acknowledged} acknowledged ticks, the other lines {account.ticks}"
        raise ValueError(f"{file} is incomplete: {counts}")


def _ranges(file: Place, entries: list[dict[str, Any]], name: str) -> list[Range]:
    try:
        pairs = msgspec.convert([pair for entry in entries for pair in entry.get(name, [])], list[Range])
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"{file} has a line that is not a ledger entry ({error})") from None
    return _merged(file, pairs)


def _merged(file: Place, ranges: list[Range]) -> list[Range]:
    ranges.sort()
    for before, (first, last) in zip([(-1, -1), *ranges], ranges, strict=False):
        if not before[1] < first <= last <= MAX_NUMBER:
            raise ValueError(f"{file} has a range [{first}, {last}] that is not valid or overlaps another")
    return merged(ranges)


def _object(file: Place, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"{file} has a line that is not a ledger entry ({error})") from None


def new_source(kind: str) -> str:
    """Return a unique name for a run: printable ASCII, at most 64 characters."""
    return f"{kind[:32]}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def ledger_folder(data_dir: Path) -> Path:
    """Return the folder of the ledgers that producers on this machine write."""
    return data_dir / "ledger"


def ledger_file(data_dir: Path, source: str) -> Path:
    """Return the path of a source's ledger."""
    return ledger_folder(data_dir) / f"{source}.jsonl"


class LedgerWriter:
    """Writes the ledger of a run. Raises OSError if writing fails."""

    def __init__(
        self,
        file: Path,
        header: dict[str, Any],
        monotonic: Callable[[], float] = time.monotonic,
        arrived: Sequence[Range] | None = None,
    ) -> None:
        """Create the file with its header: `source`, `topic` and whatever else identifies the run.

        With `arrived` it goes on with a file that has its header and these ranges.
        """
        self._monotonic = monotonic
        self._written = monotonic()
        self._before = sum(last + 1 - first for first, last in arrived or ())
        self._acknowledged: list[Range] = []
        self._failed: list[Range] = []
        if arrived is not None:
            self._descriptor = beneath.append(file.parents[1], file)
            return
        self._descriptor = beneath.create(file.parents[1], file)
        self._append(header | {"started": _now()})

    @classmethod
    def again(cls, file: Path, header: dict[str, Any], arrived: Sequence[Range]) -> LedgerWriter:
        """Go on with the ledger of a run that was stopped or killed: all it had sent is `arrived`, which are in the topic.

        The ledger is written again as a whole first, so that no torn line and no last line of the earlier run is left inside.
        """
        lines = [header | {"started": _now()}, *([{"acknowledged": merged(arrived)}] if arrived else [])]
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        beneath.write_whole(file.parents[1], file, content)
        return cls(file, {}, arrived=arrived)

    def note(self, acknowledged: Iterable[Range], failed: Iterable[Range]) -> None:
        """Collect the outcome of ticks; report each tick once."""
        self._acknowledged.extend(acknowledged)
        self._failed.extend(failed)

    def write(self) -> None:
        """Append the collected outcomes, if the last write was at least `WRITE_SECONDS` ago."""
        if self._monotonic() - self._written >= WRITE_SECONDS:
            self._write()

    def close(self, **figures: int) -> None:
        """Append the remaining outcomes and the last line."""
        self._write()
        counted = {name: count + self._before if name in {"made", "acknowledged"} else count for name, count in figures.items()}
        self._append({"ended": _now(), **counted})
        os.close(self._descriptor)

    def _write(self) -> None:
        self._written = self._monotonic()
        outcomes = {"acknowledged": merged(self._acknowledged), "failed": merged(self._failed)}
        if line := {name: ranges for name, ranges in outcomes.items() if ranges}:
            self._append(line)
            self._acknowledged.clear()
            self._failed.clear()

    def _append(self, line: dict[str, Any]) -> None:
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._descriptor).st_size
        if os.write(self._descriptor, data) != len(data):
            # Remove the partial line, or the next line would be appended to it.
            os.ftruncate(self._descriptor, size)
            raise OSError(f"only a part of a ledger line of {len(data)} bytes could be written")


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges and join adjacent ones."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
