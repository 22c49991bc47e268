"""The verdict: what verify can find, which code each finding has, and which code wins where there are several."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from finance_role import beneath
from finance_role.text import plain
from finance_storage import offset_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finance_kafka.offsets import Offsets
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths


class Code(IntEnum):
    """Exit codes, fixed: other programs rely on them. In the order of precedence, the gravest first."""

    IDENTITY = 14
    CORRUPT = 13
    GAP = 11
    DUPLICATE = 12
    ALTERED = 16
    PRODUCER = 15
    BEHIND = 10
    COMPLETE = 0


PRECEDENCE = tuple(Code)


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be; `places` are the offsets that it concerns, as far as they are known."""

    code: Code
    what: str
    places: OffsetSet = field(default_factory=dict)

    def __str__(self) -> str:
        """One line."""
        return f"{self.code.name.lower()}: {self.what}" + (f" ({offset_set.text(self.places)})" if self.places else "")

    def as_json(self) -> dict[str, Any]:
        """For programs; a range is [first, last + 1]."""
        places = {str(partition): [[span.start, span.end] for span in ranges] for partition, ranges in self.places.items()}
        return {"code": int(self.code), "verdict": self.code.name.lower(), "what": self.what, "places": places}


@dataclass(frozen=True)
class Figures:
    """What was counted.

    Attributes:
        rows, quarantined: rows of the two tables up to the position
        lost, doubled: offsets that are in no table, and surplus rows
        unreadable: offsets that are missing because their file is damaged
        behind: records that the topic has beyond the position
        position: up to where the tables were judged
        version: of the table of ticks
        acknowledged, unacknowledged: ticks of sources with a ledger: that the broker took, and others that the table has
        unheard: ticks that were acknowledged and are in no table
        excused: ticks that somebody has excused by name: they count as rows, and not for their source

    """

    rows: int = 0
    quarantined: int = 0
    lost: int = 0
    doubled: int = 0
    unreadable: int = 0
    behind: int = 0
    position: Offsets = field(default_factory=dict)
    version: int | None = None
    acknowledged: int = 0
    unacknowledged: int = 0
    unheard: int = 0
    excused: int = 0


@dataclass(frozen=True)
class Report:
    """All that verify says: what it found, what else is worth knowing, and what it counted."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    figures: Figures = Figures()

    @property
    def code(self) -> Code:
        """The verdict: the gravest finding's code."""
        return gravest(finding.code for finding in self.findings)

    @property
    def pipeline(self) -> Code:
        """The verdict on the way from the topic into the tables."""
        return gravest(finding.code for finding in self.findings if finding.code is not Code.PRODUCER)

    @property
    def producer(self) -> Code:
        """The verdict on the way from the producers into the topic."""
        return gravest(finding.code for finding in self.findings if finding.code is Code.PRODUCER)

    def sentence(self) -> str:
        """Give the last line: the verdict and the figures."""
        told = self.figures
        parts = [f"{told.lost:,} lost", f"{told.doubled:,} doubled"]
        parts += [f"{told.unreadable:,} unreadable"] if told.unreadable else []
        parts += [f"{told.behind:,} still to come"] if told.behind else []
        parts += [f"{told.excused:,} excused"] if told.excused else []
        ends = ",".join(f"{partition}:{offset}" for partition, offset in sorted(told.position.items()))
        where = f"in {len(told.position)} partition{'s' * (len(told.position) != 1)} up to {ends or 'nowhere'}"
        rows = f"{told.rows:,} rows and {told.quarantined:,} quarantined {where}"
        version = "no table yet" if told.version is None else f"table version {told.version}"
        return f"{self.code.name.lower()}: {', '.join(parts)}, {rows}; {version}."

    def as_text(self) -> str:
        """Lay it out for people; the last line is the verdict."""
        told = self.figures
        producer = f"producers: {self.producer.name.lower()}"
        if told.acknowledged or told.unacknowledged:
            producer += f", {told.acknowledged:,} ticks acknowledged, {told.unacknowledged:,} more in the table"
        lines = [*map(str, self.findings), *(f"note: {note}" for note in self.notes)]
        return "\n".join([*map(plain, lines), f"pipeline: {self.pipeline.name.lower()}", producer, self.sentence()])

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        figures = {name: getattr(self.figures, name) for name in Figures.__dataclass_fields__}
        figures["position"] = {str(partition): offset for partition, offset in sorted(self.figures.position.items())}
        return {
            "verdict": self.code.name.lower(),
            "code": int(self.code),
            "pipeline": self.pipeline.name.lower(),
            "producer": self.producer.name.lower(),
            "findings": [finding.as_json() for finding in self.findings],
            "notes": list(self.notes),
            "figures": figures,
            "sentence": self.sentence(),
        }


def gravest(codes: Iterable[Code]) -> Code:
    """Return the code that wins; COMPLETE if there is none."""
    return min(codes, key=PRECEDENCE.index, default=Code.COMPLETE)


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


def save_verdict(paths: LakePaths, report: Report, *, with_broker: bool) -> None:
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
        beneath.write_whole(paths.root, paths.verdict, msgspec.json.encode(verdict) + b"\n")
    except beneath.IrregularError:
        raise
    except OSError:
        return


def last_verdict(paths: LakePaths) -> Verdict | None:
    """Read it; None if the lake was never judged, or what stands there is none."""
    try:
        return msgspec.json.decode(beneath.read(paths.root, paths.verdict), type=Verdict)
    except (OSError, msgspec.MsgspecError):
        return None
