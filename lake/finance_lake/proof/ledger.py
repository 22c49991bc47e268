"""Ledgers, the reading side: what each run of a producer says that the broker has acknowledged.

producer/finance_producer/ledger.py writes them and describes the format: a header, lines with ranges of numbers, and, from a
run that stopped by itself, a last line with figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Range = tuple[int, int]
HIGHEST = 2**63 - 1
LARGEST = 1 << 30  # months of a run


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
    return _read(file, beneath.read(file.parents[1], file, LARGEST))


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
            content = beneath.read(file.parents[1], file, LARGEST)
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


def _merged(file: Path, ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if not 0 <= first <= last <= HIGHEST or (joined and first <= joined[-1][1]):
            raise ValueError(f"{file} has a range [{first}, {last}] that is none, or has numbers twice")
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _object(file: Path, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"{file} has a line that is no ledger's ({error})") from None
