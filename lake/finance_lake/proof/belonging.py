"""Whether tables and topic belong together: what verify says before it looks at a single row. The guard asks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.proof.verdict import Code, Finding
from finance_lake.state import accounting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.proof.snapshot import Snapshot
    from finance_lake.state.accounting import Broker
    from finance_lake.state.identity import Identity


def topic_findings(identity: Identity, topic: str, broker: Broker | None) -> Iterator[Finding]:
    """Judge whether topic and broker are the lake's."""
    found = list(accounting.other_topic(identity, topic))
    if broker and not found:
        found = list(accounting.topic_mismatches(identity, broker))
    yield from (Finding(Code.IDENTITY, one.what) for one in found)


def table_findings(snapshot: Snapshot) -> Iterator[Finding]:
    """Judge whether both tables are of one lake."""
    found = accounting.tables_of_two_lakes(snapshot.ticks.identity, snapshot.quarantine.identity)
    yield from (Finding(Code.IDENTITY, one.what) for one in found)
