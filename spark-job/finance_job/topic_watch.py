"""The topic's settings, looked at when the job starts and while it runs: somebody may change them under it.

topic-init makes the topic as finance_contract.topic has it, and refuses another one; later it looks no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_contract.topic import unkept
from finance_kafka.describe import BrokerUnavailableError, topic_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger


class TopicSettings:
    """What of the topic's settings is not as it is to be; said once, and again when it changes."""

    def __init__(self, ask: Callable[[], dict[str, str]], hours: int, log: FilteringBoundLogger) -> None:
        """Ask for the settings with `ask`; `hours` is for how long the topic is to keep records."""
        self._ask = ask
        self._hours = hours
        self._log = log
        self._told: list[str] = []

    @classmethod
    def of(cls, bootstrap: str, topic: str, hours: int, log: FilteringBoundLogger) -> TopicSettings:
        """Look at a topic of the broker at `bootstrap`."""
        return cls(lambda: topic_settings(bootstrap, topic), hours, log)

    def look(self) -> None:
        """Look, and log one warning that names what has changed for the worse."""
        try:
            found = unkept(self._ask(), self._hours)
        except BrokerUnavailableError:
            return  # the stream finds out for itself; a broker that only refuses to tell is no fault
        if found and found != self._told:
            self._log.warning("the topic is not kept as topic-init makes it", differs="; ".join(found))
        if self._told and not found:
            self._log.info("the topic is kept as topic-init makes it again")
        self._told = found
