"""Check the topic's settings when the job starts and while it runs, because they may be changed at any time.

topic-init creates the topic with the settings of finance_contract.topic and refuses a topic with others, but only at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_contract.topic import unkept
from finance_kafka.describe import BrokerUnavailableError, topic_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger


class TopicSettings:
    """Logs which settings of the topic are not as required: once, and again after each change."""

    def __init__(self, ask: Callable[[], dict[str, str]], hours: int, log: FilteringBoundLogger) -> None:
        """Read the settings with `ask`; `hours` is how long the topic must keep records."""
        self._ask = ask
        self._hours = hours
        self._log = log
        self._reported: list[str] = []

    @classmethod
    def of(cls, bootstrap: str, topic: str, hours: int, log: FilteringBoundLogger) -> TopicSettings:
        """Check the settings of `topic` at the broker."""
        return cls(lambda: topic_settings(bootstrap, topic), hours, log)

    def check(self) -> None:
        """Read the settings and log a warning that names the differences, if they have changed."""
        try:
            differences = unkept(self._ask(), self._hours)
        except BrokerUnavailableError:
            return  # an outage is the stream's to report; a broker that only refuses this request is no fault
        if differences and differences != self._reported:
            self._log.warning("the topic's settings are not those of topic-init", differs="; ".join(differences))
        if self._reported and not differences:
            self._log.info("the topic's settings are those of topic-init again")
        self._reported = differences
