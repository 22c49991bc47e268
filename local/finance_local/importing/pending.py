"""Which files are still to import: those that are not in the lake already, each content once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finance_lake.cli.app import say
from finance_lake.sources import retracted
from finance_local.importing.prepare import identified
from finance_local.importing.work import earlier
from finance_storage.ledger import ledger_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_local.importing.prepare import Prepared
    from finance_local.importing.work import Earlier
    from finance_producer.importing.identity import Identity
    from finance_storage.paths import LakePaths


class Pending(NamedTuple):
    """A file to import: under which identity, and what an earlier import of it left."""

    work: Prepared
    identity: Identity
    before: Earlier | None


def pending(works: Sequence[Prepared], paths: LakePaths, *, again: bool) -> list[Pending]:
    """Return what to import, and say of each other file why not. `again` imports files of the lake once more."""
    chosen: dict[str, Pending] = {}
    for work in works:
        identity = identified(work, ledger_folder(paths.folder))
        before = earlier(paths.folder, identity)
        if again and before and before.is_whole:
            identity, before = identity._replace(repetition=identity.repetition + 1), None
        if same := chosen.get(identity.digest):
            say(f"{work.file.name} has the content of {same.work.file.name}, which is imported once.")
        elif before and before.is_whole:
            say(_why_not(work.file.name, identity.source, paths))
        else:
            chosen[identity.digest] = Pending(work, identity, before)
    return list(chosen.values())


def _why_not(name: str, source: str, paths: LakePaths) -> str:
    if retracted(paths).get(source):
        return f"{name} was forgotten: `financelake forget {source} --undo` brings its ticks back."
    return f"{name} is in the lake already, as {source}: nothing to do (--again imports it once more)."
