"""Rows that verify reports as altered since their commit: recover reads their records from Kafka again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_job.repair.recovery_plan import RecoverError
from finance_storage import offset_set
from finance_storage.errors import NoLakeError
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify

if TYPE_CHECKING:
    from finance_kafka.describe import TopicDescription
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths


def altered_rows(layout: LakePaths, topic: str, broker: TopicDescription) -> OffsetSet:
    """Return the offsets of altered rows. Raises RecoverError if the log does not show which rows they are."""
    context = VerifyContext(topic, lambda: broker, patience_seconds=0)
    try:
        findings = [finding for finding in verify(layout, context).findings if finding.code is Code.ALTERED]
    except NoLakeError:
        return {}
    if unplaced := [finding for finding in findings if not finding.places]:
        raise RecoverError(
            f"{unplaced[0]}. Recover would accept the rows as they are now. Restore data/ from a copy; or name the offsets to "
            "read again, for example ALTERED=0:100-199,1:5; or set ALTERED=none to keep the rows as they are"
        )
    return offset_set.union(*(finding.places for finding in findings))
