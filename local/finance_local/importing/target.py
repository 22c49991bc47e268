"""The lake that an import goes to: while ticks are sent it must run, and hold the topic that is configured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_role.heartbeat import heartbeat_file, is_alive
from finance_storage.accounting import still_to_come
from finance_storage.delta_table import committed_offsets
from finance_storage.errors import LakeError
from finance_storage.lake_identity import numbered_in, read_identity
from finance_verify.source_rows import data_files, numbers_of
from finance_verify.verify import topic_findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_kafka.describe import TopicDescription
    from finance_storage.paths import LakePaths
    from finance_verify.sequences import NumberCounts

POLL_SECONDS = 0.2
MAX_IDLE_SECONDS = 120.0
START = "`make local` or `make up` starts the lake; then run the same command again"


class TargetError(LakeError):
    """The lake cannot take an import now; the message says why and what to do."""


class Target(NamedTuple):
    """A lake, and where its topic is."""

    paths: LakePaths
    bootstrap: str
    topic: str

    def describe(self) -> TopicDescription:
        """Return the topic as it is now. Raises TargetError."""
        try:
            return describe_topic(self.bootstrap, self.topic)
        except (BrokerUnavailableError, TopicNotFoundError) as error:
            raise TargetError(f"The lake at {self.paths.root} does not run: {error}. {START}.") from None

    def require_running(self) -> None:
        """Raise TargetError unless broker and job run and the topic is the lake's."""
        topic = self.describe()
        if not is_alive(heartbeat_file(self.paths.folder, "spark-job")):
            raise TargetError(f"The lake at {self.paths.root} has a broker but no job that would store the ticks. {START}.")
        identity = read_identity(self.paths)
        if identity and (wrong := [finding.what for finding in topic_findings(identity, self.topic, topic)]):
            raise TargetError(f"{wrong[0]}. Nothing is sent: set KAFKA_TOPIC, KAFKA_PORT and DATA_DIR to those of one lake.")

    def files(self) -> dict[str, int]:
        """Return the data files of the table of ticks."""
        return data_files(self.paths)

    def numbers_of(self, source: str, end: int, without: dict[str, int] | None = None) -> NumberCounts:
        """Count the numbers of a source in the table; data files in `without` are not read."""
        return numbers_of(self.paths, source, end, without)

    def wait_until_stored(self, stopping: Callable[[], bool], progress: Callable[[float], None]) -> bool:
        """Wait until the tables have all that is in the topic now; false if they make no progress or `stopping` is true.

        `progress` is called with the part that is stored, from 0 to 1. Raises TargetError.
        """
        topic = numbered_in(self.paths, self.describe())
        first = missing = self._missing(topic)
        deadline = time.monotonic() + MAX_IDLE_SECONDS
        while missing and not stopping() and time.monotonic() < deadline:
            progress(1 - missing / first)
            time.sleep(POLL_SECONDS)
            if (now := self._missing(topic)) < missing:
                missing, deadline = now, time.monotonic() + MAX_IDLE_SECONDS
        return not missing

    def _missing(self, topic: TopicDescription) -> int:
        return sum(span.count for span in still_to_come(committed_offsets(self.paths.ticks), topic).values())
