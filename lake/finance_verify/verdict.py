"""The verdict: what verify can find, the exit code of each finding, and which code takes precedence."""

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
    """Exit codes. They are fixed, because other programs rely on them. Ordered by precedence, the most serious first."""

    IDENTITY = 14
    CORRUPT = 13
    GAP = 11
    DUPLICATE = 12
    ALTERED = 16
    DERIVED = 17
    PRODUCER = 15
    BEHIND = 10
    COMPLETE = 0


PRECEDENCE = tuple(Code)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong; `places` are the affected offsets, as far as they are known."""

    code: Code
    what: str
    places: OffsetSet = field(default_factory=dict)

    def __str__(self) -> str:
        """Format as one line."""
        return f"{self.code.name.lower()}: {self.what}" + (f" ({offset_set.text(self.places)})" if self.places else "")

    def as_json(self) -> dict[str, Any]:
        """Return JSON data; a range is [first, last + 1]."""
        places = {str(partition): [[span.start, span.end] for span in ranges] for partition, ranges in self.places.items()}
        return {"code": int(self.code), "verdict": self.code.name.lower(), "what": self.what, "places": places}


@dataclass(frozen=True)
class Figures:
    """The numbers of a report.

    Attributes:
        rows, quarantined: number of rows in the two tables up to the position
        lost, doubled: number of offsets in neither table, and of surplus rows
        unreadable: number of offsets missing because their file is damaged
        behind: number of records in the topic beyond the position
        position: next offset by partition; the tables were checked up to it
        version: version of the ticks table
        acknowledged, unacknowledged: ticks of sources with a ledger: acknowledged by the broker, and others in the table
        unheard: number of acknowledged ticks that are in neither table
        excused: number of ticks excused by name; they count as rows, but not for their source

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
    """The result of verify: findings, notes and figures."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    figures: Figures = Figures()

    @property
    def code(self) -> Code:
        """The overall verdict: the code of the most serious finding."""
        return gravest(finding.code for finding in self.findings)

    @property
    def pipeline(self) -> Code:
        """The verdict on the pipeline, from the topic to the tables."""
        return gravest(finding.code for finding in self.findings if finding.code is not Code.PRODUCER)

    @property
    def producer(self) -> Code:
        """The verdict on the producers, up to the topic."""
        return gravest(finding.code for finding in self.findings if finding.code is Code.PRODUCER)

    def sentence(self) -> str:
        """Return the last line: the verdict and the figures."""
        figures = self.figures
        parts = [f"{figures.lost:,} lost", f"{figures.doubled:,} doubled"]
        parts += [f"{figures.unreadable:,} unreadable"] if figures.unreadable else []
        parts += [f"{figures.behind:,} still to come"] if figures.behind else []
        parts += [f"{figures.excused:,} excused"] if figures.excused else []
        ends = ",".join(f"{partition}:{offset}" for partition, offset in sorted(figures.position.items()))
        where = f"in {len(figures.position)} partition{'s' * (len(figures.position) != 1)}" + (f" up to {ends}" if ends else "")
        rows = f"{figures.rows:,} rows and {figures.quarantined:,} quarantined {where}"
        version = "no table yet" if figures.version is None else f"table version {figures.version}"
        return f"{self.code.name.lower()}: {', '.join(parts)}, {rows}; {version}."

    def as_text(self) -> str:
        """Return human-readable text; the last line is the verdict."""
        figures = self.figures
        producer = f"producers: {self.producer.name.lower()}"
        if figures.acknowledged or figures.unacknowledged:
            producer += f", {figures.acknowledged:,} ticks acknowledged, {figures.unacknowledged:,} more in the table"
        lines = [*map(str, self.findings), *(f"note: {note}" for note in self.notes)]
        return "\n".join([*map(plain, lines), f"pipeline: {self.pipeline.name.lower()}", producer, self.sentence()])

    def as_json(self) -> dict[str, Any]:
        """Return JSON data."""
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
    """Return the code that takes precedence; COMPLETE if there is none."""
    return min(codes, key=PRECEDENCE.index, default=Code.COMPLETE)


class Verdict(msgspec.Struct, frozen=True):
    """The last verdict of verify, as saved.

    Attributes:
        verdict, code, sentence: as in the report
        at: time of the verdict, UTC
        broker: whether the tables were compared with the topic, or only the files were checked
        version: version of the ticks table; None if it did not exist
        lost, doubled: number of offsets in neither table, and of surplus rows

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
    """Save the verdict atomically. If the folder is not writable, such as on a read-only mount, nothing is saved.

    Raises beneath.IrregularError if something other than a regular file is in its place.
    """
    figures = report.figures
    verdict = Verdict(
        verdict=report.code.name.lower(),
        code=int(report.code),
        sentence=report.sentence(),
        at=datetime.now(UTC),
        broker=with_broker,
        version=figures.version,
        lost=figures.lost,
        doubled=figures.doubled,
    )
    try:
        beneath.write_whole(paths.folder, paths.verdict, msgspec.json.encode(verdict) + b"\n")
    except beneath.IrregularError:
        raise
    except OSError:
        return


def last_verdict(paths: LakePaths) -> Verdict | None:
    """Read the saved verdict; None if there is none or it is not valid."""
    try:
        return msgspec.json.decode(beneath.read(paths.folder, paths.verdict), type=Verdict)
    except (OSError, msgspec.MsgspecError):
        return None
