"""Check the topic of a broker that is not the lake's own, before anything starts: `python -m finance_topic.check`.

It creates and changes nothing. Exit codes: 0 the lake can start, though settings may break some of its promises; 1 there is no
such topic, or no broker answers; 2 wrong settings; 78 the start is refused.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
from finance_kafka.topic_check import check_topic, command_that_creates
from finance_role.exit_codes import REFUSED
from finance_role.settings import Addresses, TickSource, begin_role
from finance_topic.config import Settings as TopicSettings

if TYPE_CHECKING:
    from finance_kafka.topic_check import TopicCheck


class UnfitTopicError(Exception):
    """The lake cannot start with this topic; the message says why and what to do."""


class Settings(TopicSettings):
    """The keys of `.env` that the check reads: those of the topic, and where ticks come from."""

    kafka_bootstrap: Addresses = "localhost:9092"
    tick_source: TickSource = "simulate"


def require_fit_topic(settings: Settings) -> TopicCheck:
    """Return the check of the topic. Raises BrokerUnavailableError, TopicNotFoundError and UnfitTopicError."""
    address = (settings.kafka_bootstrap, settings.kafka_topic)
    try:
        check = check_topic(*address, settings.kafka_retention_hours)
    except TopicNotFoundError as error:
        create = command_that_creates(*address, settings.kafka_partitions, settings.kafka_retention_hours)
        raise TopicNotFoundError(f"{error}. This creates it: {create}") from None
    if check.makes_proof_impossible:
        raise UnfitTopicError("\n".join([*check.lines(), "The lake does not start with this topic: it could prove nothing."]))
    is_new = not (settings.data_dir / "finance_delta").exists()
    if is_new and check.records and settings.tick_source == "simulate":
        raise UnfitTopicError(
            f"The topic {settings.kafka_topic} at {settings.kafka_bootstrap} has {check.records:,} records, and "
            "TICK_SOURCE=simulate would add simulated ticks to them: set TICK_SOURCE=none to store what others publish, "
            "or KAFKA_TOPIC to another topic."
        )
    return check


def main() -> int:
    """Check, and print what breaks a promise."""
    settings = begin_role(Settings)
    try:
        check = require_fit_topic(settings)
    except (BrokerUnavailableError, TopicNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except UnfitTopicError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    print("\n".join([*check.lines(), f"topic {settings.kafka_topic} at {settings.kafka_bootstrap} can be used"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
