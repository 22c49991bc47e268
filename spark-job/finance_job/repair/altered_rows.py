"""What verify says of a lake before it is recovered: which rows are altered, and which acknowledged ticks the tables lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_job.repair.recovery_plan import RecoverError
from finance_storage import offset_set
from finance_storage.errors import NoLakeError
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code, Report
from finance_verify.verify import verify

if TYPE_CHECKING:
    from finance_kafka.describe import TopicDescription
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths


def report_of(paths: LakePaths, topic: str, broker: TopicDescription) -> Report:
    """Return what verify finds now; without a lake, nothing."""
    try:
        return verify(paths, VerifyContext(topic, lambda: broker, patience_seconds=0))
    except NoLakeError:
        return Report(())


def altered_rows(report: Report) -> OffsetSet:
    """Return the offsets of altered rows. Raises RecoverError if the log does not show which rows they are."""
    findings = [finding for finding in report.findings if finding.code is Code.ALTERED]
    if unplaced := [finding for finding in findings if not finding.places]:
        raise RecoverError(
            f"{unplaced[0]}. Recover would accept the rows as they are now. Restore data/ from a copy; or name the offsets to "
            "read again, for example ALTERED=0:100-199,1:5; or set ALTERED=none to keep the rows as they are"
        )
    return offset_set.union(*(finding.places for finding in findings))


def lost_with_the_topic(report: Report) -> str:
    """Return a sentence about the acknowledged ticks that a lake lacks which leaves its topic."""
    figures = report.figures
    if not figures.acknowledged:
        return "No ledger of a producer lists ticks of this topic, so it is unknown how many records are lost."
    if not figures.unheard:
        return f"All {figures.acknowledged:,} ticks that the producers' ledgers list as acknowledged are in the tables."
    return (
        f"The producers' ledgers list {figures.unheard:,} acknowledged ticks that the table lacks: they are lost, and "
        "`make verify` goes on reporting them (15)."
    )
