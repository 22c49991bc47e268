"""The last verdict: verify leaves it beside the lake, for whoever asks when the lake was last proven."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from finance_role import beneath

if TYPE_CHECKING:
    from finance_lake.proof.verdict import Report
    from finance_lake.state.layout import Layout


class Verdict(msgspec.Struct, frozen=True):
    """What verify said last.

    Attributes:
        verdict, code, sentence: of the report
        at: when, UTC
        broker: whether the topic was compared, or the files alone were judged
        version: of the table of ticks; None where there was none
        lost, doubled: offsets in no table, and surplus rows

    """

    verdict: str
    code: int
    sentence: str
    at: datetime
    broker: bool
    version: int | None
    lost: int
    doubled: int


def leave(layout: Layout, report: Report, *, with_broker: bool) -> None:
    """Write the verdict whole. Where the folder cannot be written, such as from a read-only mount, it is not left.

    Raises beneath.IrregularError where something else stands in its place.
    """
    told = report.figures
    verdict = Verdict(
        verdict=report.code.name.lower(),
        code=int(report.code),
        sentence=report.sentence(),
        at=datetime.now(UTC),
        broker=with_broker,
        version=told.version,
        lost=told.lost,
        doubled=told.doubled,
    )
    try:
        beneath.write_whole(layout.root, layout.verdict, msgspec.json.encode(verdict) + b"\n")
    except beneath.IrregularError:
        raise
    except OSError:
        return


def last(layout: Layout) -> Verdict | None:
    """Read it; None if the lake was never judged, or what stands there is none."""
    try:
        return msgspec.json.decode(beneath.read(layout.root, layout.verdict), type=Verdict)
    except (OSError, msgspec.MsgspecError):
        return None
