"""Prepare an import: open each file, ask what is open, look into it, and put several files into the order of time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from finance_local.importing.files import regular
from finance_local.importing.opening import open_asking
from finance_local.importing.preview import scan
from finance_producer.importing.identity import identity_of, sha256_of
from finance_producer.reading.options import MENDS, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from finance_local.importing.files import InputFile
    from finance_local.importing.preview import Scan
    from finance_producer.importing.identity import Identity
    from finance_producer.reading.frames import Described
    from finance_producer.reading.options import Options


class Manner(NamedTuple):
    """How an import goes: whether it may ask, whether it looks into whole files first, where rows left out are listed."""

    may_ask: bool
    whole: bool
    left_out: Path | None = None


class Prepared(NamedTuple):
    """A file that can be imported: how it is read, and what has been seen of it."""

    file: InputFile
    options: Options
    described: Described
    seen: Scan


@contextmanager
def prepared(files: Sequence[Path], options: Options, root: Path, manner: Manner) -> Iterator[list[Prepared]]:
    """Yield the files in the order of their first times; those without one come last. An answer holds for all later files.

    Raises UnreadableFileError, also for a file of which no row is a tick.
    """
    with ExitStack() as stack:
        works = []
        for path in files:
            file = stack.enter_context(regular(path, root, manner.left_out))
            opened, options = open_asking(file.path, options, may_ask=manner.may_ask)
            seen = scan(opened.blocks(), whole=manner.whole)
            if not seen.ticks:
                raise UnreadableFileError(no_tick(file.name, seen))
            works.append(Prepared(file, options, opened.described, seen))
        yield sorted(works, key=lambda work: (work.seen.times is None, work.seen.times))


def no_tick(name: str, seen: Scan) -> str:
    """Return why a file has nothing to import."""
    if not seen.left_out:
        return f"{name} has no rows."
    code, rows = seen.left_out.most_common(1)[0]
    what = f"{name} has no row that is a valid tick: {rows:,} rows have {code}, first {seen.examples[code]}."
    return f"{what} {MENDS[code]}." if code in MENDS else what


def identified(work: Prepared, ledgers: Path) -> Identity:
    """Return the identity of a file: that of its newest import, or a new one."""
    new = identity_of(work.file.name, sha256_of(work.file.path), work.described)
    return new.begun(ledgers) or new
