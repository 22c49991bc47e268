"""Log one line per batch and keep the heartbeat, from the reports of Spark and the sink."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyspark.sql.streaming.listener import StreamingQueryListener

from finance_job.failpoint import hit

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from finance_job.sink import BatchSummary
    from finance_role.heartbeat import Heartbeat

# Longer than any batch should take; an idle query reports every ten seconds.
HEARTBEAT_SECONDS = 60.0


class Progress(StreamingQueryListener):
    """Listens to the query and logs its batches. An idle trigger counts as a heartbeat too."""

    def __init__(self, log: FilteringBoundLogger, heartbeat: Heartbeat, base: int) -> None:
        """Log batches to `log`, and beat `heartbeat` at each event; `base` is the lake's number of the topic's partition 0."""
        self._log = log
        self._base = base
        self._heartbeat = heartbeat
        self._summaries: dict[int, BatchSummary] = {}

    def stored(self, summary: BatchSummary) -> None:
        """Accept the sink's summary of a batch; its line is logged once Spark has finished the batch too."""
        self._summaries[summary.batch] = summary
        self._heartbeat.beat()

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, N802
        """Log nothing."""

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, N802
        """Log the line of a batch."""
        hit("after-commit-log")
        self._heartbeat.beat()
        progress = event.progress
        summary = self._summaries.pop(progress.batchId, None)
        if summary is None:
            return
        (source,) = progress.sources
        self._log.info(
            "batch",
            id=summary.batch,
            rows=summary.offsets,
            good=summary.ticks,
            quarantined=summary.quarantined,
            offsets=_compact(json.loads(source.endOffset), self._base),
            lag=_lag(source.latestOffset, source.endOffset),
            ms=progress.durationMs.get("triggerExecution"),
            version=summary.version,
        )

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, N802, ARG002
        """Beat: a query without new data is healthy."""
        self._heartbeat.beat()

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, N802
        """Log nothing: the main thread reports how the query ended."""


def _compact(offsets: dict[str, dict[str, int]], base: int) -> str:
    (partitions,) = offsets.values()
    return ",".join(f"{base + int(partition)}:{partitions[partition]}" for partition in sorted(partitions, key=int))


def _lag(latest: str | None, end: str) -> int:
    if not latest:
        return 0
    (newest,), (reached,) = json.loads(latest).values(), json.loads(end).values()
    lag: int = sum(newest.values()) - sum(reached.values())
    return lag
