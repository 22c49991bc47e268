"""The ledger of a run: which of its numbered ticks the broker has acknowledged.

`data/ledger/<source>.jsonl` holds a JSON object a line:

    {"source": "sim-7-20261124T120000Z-3fa9c1", "topic": "finance", "started": "2026-11-24T12:00:00+00:00", "settings": {...}}
    {"acknowledged": [[0, 4999], [6000, 6999]]}
    {"acknowledged": [[5000, 5999], [7000, 7041]], "failed": [[7042, 7042]]}
    {"ended": "2026-11-24T12:01:00+00:00", "made": 7043, "acknowledged": 7042, "unsent": 1, "malformed": 0}

A range `[first, last]` counts both ends; no number is in two ranges. `acknowledged`: the tick is in the topic, once.
`failed`: the client gave up on it, and it may or may not be in the topic. Of a number in neither, nothing is known: the run was
killed, or has not heard of it, or written of it, yet. A run that stopped by itself has the line with `ended`, and knows all.

Lines are appended whole about once a second, so a torn one is the mark of a crashed machine or a full disk, and is the last.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Range = tuple[int, int]
MAX_NUMBER = 2**63 - 1
MAX_BYTES = 1 << 30  # months of a run
WRITE_SECONDS = 1.0


class Account(NamedTuple):
    """What a ledger says: its first line, its last if the run stopped by itself, and merged ranges in ascending order."""

    header: dict[str, Any]
    ending: dict[str, Any] | None
    acknowledged: list[Range]
    failed: list[Range]

    @property
    def source(self) -> str:
        """Whose ticks it numbers."""
        return str(self.header["source"])

    @property
    def end(self) -> int:
        """One more than the highest number that was acknowledged."""
        return self.acknowledged[-1][1] + 1 if self.acknowledged else 0

    @property
    def ticks(self) -> int:
        """How many ticks were acknowledged."""
        return sum(last + 1 - first for first, last in self.acknowledged)


class Ledgers(NamedTuple):
    """All ledgers of a lake.

    Attributes:
        accounts: those that can be read, by source
        unbegun: sources whose ledgers have no whole line, as a run leaves it that was killed before its first tick
        wrong: what is wrong with the others, a sentence each

    """

    accounts: dict[str, Account]
    unbegun: list[str]
    wrong: list[str]


def read(file: Path) -> Account:
    """Read a ledger, also one that is being written. Raises ValueError if it is none, or a part of it is gone.

    A torn last line is left out: it is the mark of a crash. A line that is missing elsewhere shows in the figures of the last.
    """
    return _read(file, beneath.read(file.parents[1], file, MAX_BYTES))


def _read(file: Path, content: bytes) -> Account:
    if not (whole := content.split(b"\n")[:-1]):
        raise ValueError(f"{file} does not begin with a whole line")
    header, *lines = (_object(file, line) for line in whole)
    if not isinstance(header.get("source"), str):
        raise ValueError(  # noqa: TRY004
            f"{file} does not begin with the name of its source"
        )
    ending = lines.pop() if lines and "ended" in lines[-1] else None
    account = Account(header, ending, _ranges(file, lines, "acknowledged"), _ranges(file, lines, "failed"))
    _require_all_lines(file, account)
    return account


def read_all(folder: Path, topic: str) -> Ledgers:
    """Read the ledgers in a folder that are of a topic."""
    ledgers = Ledgers({}, [], [])
    for file in sorted(folder.glob("*.jsonl")):
        try:
            content = beneath.read(file.parents[1], file, MAX_BYTES)
            if b"\n" not in content:
                ledgers.unbegun.append(file.stem)
                continue
            account = _read(file, content)
        except (ValueError, beneath.IrregularError) as error:
            ledgers.wrong.append(str(error))
            continue
        if account.source in ledgers.accounts:
            ledgers.wrong.append(f"{file} tells of source {account.source}, as another ledger does")
        elif account.header.get("topic", topic) == topic:
            ledgers.accounts[account.source] = account
    return ledgers


class _Figures(msgspec.Struct):
    acknowledged: int | None = None
    unsent: int = 0


def _require_all_lines(file: Path, account: Account) -> None:
    try:
        told = msgspec.convert(account.ending or {}, _Figures)
    except msgspec.ValidationError as error:
        raise ValueError(f"{file} has a last line that is no ledger's ({error})") from None
    failed = sum(last + 1 - first for first, last in account.failed)
    # A run whose last ticks were never answered has answers to others of their block, but no ranges of it.
    unanswered = told.acknowledged is not None and told.acknowledged > account.ticks and told.unsent > failed
    if told.acknowledged not in (None, account.ticks) and not unanswered:
        raise ValueError(f"{file} was cut: its last line counts {told.acknowledged} acknowledged, the others {account.ticks}")


def _ranges(file: Path, lines: list[dict[str, Any]], name: str) -> list[Range]:
    try:
        pairs = msgspec.convert([pair for line in lines for pair in line.get(name, [])], list[Range])
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"{file} has a line that is no ledger's ({error})") from None
    return _merged(file, pairs)


def _merged(file: Path, ranges: list[Range]) -> list[Range]:
    ranges.sort()
    for before, (first, last) in zip([(-1, -1), *ranges], ranges, strict=False):
        if not before[1] < first <= last <= MAX_NUMBER:
            raise ValueError(f"{file} has a range [{first}, {last}] that is none, or has numbers twice")
    return merged(ranges)


def _object(file: Path, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"{file} has a line that is no ledger's ({error})") from None


def new_source(kind: str) -> str:
    """Name a run as no other is named, in printable ASCII, at most 64 characters."""
    return f"{kind[:32]}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def ledger_file(data_dir: Path, source: str) -> Path:
    """Where the ledger of a source is."""
    return data_dir / "ledger" / f"{source}.jsonl"


class LedgerWriter:
    """Writes the ledger of a run. Raises OSError when the disk does not take what is written."""

    def __init__(self, file: Path, header: dict[str, Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin the file with the header: `source`, `topic` and what else identifies the run."""
        self._monotonic = monotonic
        self._written = monotonic()
        self._acknowledged: list[Range] = []
        self._failed: list[Range] = []
        self._descriptor = beneath.create(file.parents[1], file)
        self._append(header | {"started": _now()})

    def note(self, acknowledged: Iterable[Range], failed: Iterable[Range]) -> None:
        """Take down what became of ticks, each of them once."""
        self._acknowledged.extend(acknowledged)
        self._failed.extend(failed)

    def write(self) -> None:
        """Append what was taken down, if the last time was `WRITE_SECONDS` ago."""
        if self._monotonic() - self._written >= WRITE_SECONDS:
            self._write()

    def close(self, **figures: int) -> None:
        """Append what is left, and the last line."""
        self._write()
        self._append({"ended": _now(), **figures})
        os.close(self._descriptor)

    def _write(self) -> None:
        self._written = self._monotonic()
        noted = {"acknowledged": merged(self._acknowledged), "failed": merged(self._failed)}
        if line := {name: ranges for name, ranges in noted.items() if ranges}:
            self._append(line)
            self._acknowledged.clear()
            self._failed.clear()

    def _append(self, line: dict[str, Any]) -> None:
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._descriptor).st_size
        if os.write(self._descriptor, data) != len(data):
            # Away with the part, or the next line would be glued to it.
            os.ftruncate(self._descriptor, size)
            raise OSError(f"the disk took only a part of a line of the ledger, {len(data)} bytes")


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges, and join those that touch."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
