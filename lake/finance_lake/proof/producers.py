"""The producers' verdict: what their ledgers say against the numbers in the table, and what excuses them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finance_lake.proof.doubles import spans_at, told
from finance_lake.proof.verdict import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from finance_lake.proof.doubles import Place, Places
    from finance_lake.proof.sequences import Judged
    from finance_lake.state.record import OffsetRange
    from finance_lake.state.spans import Spans


class Excuses(NamedTuple):
    """What can be wrong with the numbers of a source through no fault of its producer.

    Attributes:
        missing: ticks that the lake does not have by its birth, its known losses or the pipeline's own faults
        doubled: surplus rows of the pipeline
        is_early: whether the tables may not have all yet that was acknowledged

    """

    missing: int
    doubled: int
    is_early: bool


def producer_findings(judged: Mapping[str, Judged], excuses: Excuses, places: Places) -> tuple[list[Finding], list[str]]:
    """Judge the producers. What has an excuse is a note, not a finding. `places` are those of numbers that are doubled."""
    missing, doubled = (sum(getattr(one, name) for one in judged.values()) for name in ("missing", "doubled"))
    faults = [
        *(_unheard(source, one) for source, one in judged.items() if one.missing and not excuses.is_early),
        *(_sent_twice(source, one, places.get(source, {})) for source, one in judged.items() if one.doubled),
    ]
    blamed = {"missing": missing > excuses.missing, "doubled": doubled > excuses.doubled}
    findings = [Finding(Code.PRODUCER, what, where) for kind, what, where in faults if blamed[kind]]
    notes = [f"{what}; the lake itself explains as many" for kind, what, _ in faults if not blamed[kind]]
    if missing and excuses.is_early:
        notes.append(f"{missing:,} acknowledged ticks are not in the tables (yet)")
    return findings, notes


def _unheard(source: str, one: Judged) -> tuple[str, str, Spans]:
    what = (
        f"{one.missing:,} ticks of {source} were acknowledged and are not in finance_delta: seq {_numbers(one.missing_ranges)}"
    )
    return "missing", what, {}


def _sent_twice(source: str, one: Judged, places: Mapping[int, Sequence[Place]]) -> tuple[str, str, Spans]:
    what = f"{one.doubled:,} ticks of {source} are in finance_delta more than once: seq {_numbers(one.doubled_ranges)}"
    return "doubled", f"{what}; {told(places)}" if places else what, spans_at(places)


def _numbers(ranges: Sequence[OffsetRange]) -> str:
    shown = [f"{one.start}-{one.end - 1}" if one.count > 1 else f"{one.start}" for one in ranges[:8]]
    return ", ".join(shown) + (" and more" if len(ranges) > len(shown) else "")
