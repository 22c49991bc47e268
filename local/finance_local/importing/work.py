"""Import one file: publish what is not in the topic yet, wait until it is in the table, and prove it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from finance_local.importing.left_out import LeftOut
from finance_producer.importing.feed import FileFeed
from finance_producer.importing.publish import Import, publish
from finance_producer.reading.remote import OpenFile
from finance_storage import ledger
from finance_storage.ledger import ledger_file
from finance_verify.source_rows import ranges_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from finance_local.importing.files import InputFile
    from finance_local.importing.target import Target
    from finance_producer.config import Settings
    from finance_producer.importing.identity import Identity
    from finance_producer.reading.convert import Converted
    from finance_producer.reading.options import Options
    from finance_storage.ledger import Account, Range


class Earlier(NamedTuple):
    """What an earlier import of the same file left: its ledger, None if that has no complete line, and whether it was whole."""

    account: Account | None
    is_whole: bool


class Outcome(NamedTuple):
    """The result of an import.

    Attributes:
        rows, ticks: number of rows that became ticks, and of their ticks
        left_out: number of rows left out, by reason code, and where they are listed
        sent: number of ticks that this run published; the others were in the topic
        problem: what is not as it should be; empty if all is proven

    """

    rows: int
    ticks: int
    left_out: dict[str, int]
    listed: Path
    sent: int
    problem: str

    @property
    def total(self) -> int:
        """All rows of the file."""
        return self.rows + sum(self.left_out.values())


class Run(NamedTuple):
    """What an import runs with: the lake, the producer's settings, a log, and whether it is asked to stop."""

    target: Target
    settings: Settings
    log: FilteringBoundLogger
    stopping: Callable[[], bool]


class Progress(NamedTuple):
    """What is called with how much is done, from 0 to 1: of publishing, and of waiting for the table."""

    publishing: Callable[[float], None]
    storing: Callable[[float], None]


def earlier(data_dir: Path, identity: Identity) -> Earlier | None:
    """Return what an earlier import of the same file left; None if there was none."""
    file = ledger_file(data_dir, identity.source)
    try:
        account = ledger.read(file)
    except FileNotFoundError:
        return None
    except ValueError:
        return Earlier(None, is_whole=False)
    ending = account.ending or {}
    return Earlier(account, is_whole=bool(ending.get("whole")) and not ending.get("unsent"))


def arrived(target: Target, identity: Identity, before: Earlier | None, stopping: Callable[[], bool]) -> list[Range] | None:
    """Return the numbers that an earlier import has put into the table; None if there was none.

    All that the topic has is stored first, so that none is overlooked. Raises TargetError.
    """
    if before is None:
        return None
    target.wait_until_stored(stopping, lambda _: None)
    return ranges_of(target.numbers_of(identity.source, before.account.end if before.account else 0))


def carry_out(file: InputFile, options: Options, work: Import, run: Run, progress: Progress) -> Outcome:
    """Publish, wait and prove. Raises UnreadableFileError, TargetError, FatalError, KafkaException and OSError."""
    before = {} if work.arrived else run.target.files()
    with closing(LeftOut(file.left_out)) as left_out:
        blocks = reported(OpenFile(file.path, options).blocks(), progress.publishing)
        feed = FileFeed(blocks, work.identity.source, left_out.add, work.arrived or ())
        unsent = publish(work, feed, run.settings, run.log, run.stopping)

    def outcome(problem: str) -> Outcome:
        return Outcome(feed.rows, feed.ticks, dict(feed.left_out), file.left_out, feed.ticks - feed.passed, problem)

    if not feed.ended or unsent:
        missing = f"; the broker has not acknowledged {unsent:,} ticks" if unsent else ""
        return outcome(f"stopped before the end of the file{missing}. The same command goes on where it stopped")
    if not run.target.wait_until_stored(run.stopping, progress.storing):
        return outcome(
            "the ticks are in the topic, but the job has not stored all of them yet: `financelake verify` shows how far"
        )
    judged = run.target.numbers_of(work.identity.source, feed.ticks, before).judge([(0, feed.ticks - 1)] if feed.ticks else [])
    if judged.missing or judged.doubled:
        return outcome(
            f"{judged.missing:,} ticks are not in the table, {judged.doubled:,} are in it twice: `financelake verify`"
        )
    return outcome("")


def reported(blocks: Iterator[Converted], progress: Callable[[float], None]) -> Iterator[Converted]:
    """Yield blocks, and report how much of the file is read."""
    for block in blocks:
        progress(block.done)
        yield block
