"""`financelake topic check`: whether a topic fits the lake, before anything starts."""

from __future__ import annotations

import typer

from finance_lake.cli.app import say

BREAKS = 3

topic = typer.Typer(help="The topic at the broker.", no_args_is_help=True)


@topic.callback()
def _topic() -> None:
    """Group the commands about the topic."""


@topic.command()
def check() -> None:
    """Name each setting of KAFKA_TOPIC at KAFKA_BOOTSTRAP that breaks a promise of the lake, and how to fix it.

    Exit codes: 0 the topic keeps all promises, 3 it breaks one, 1 there is no such topic or no broker, 2 wrong settings.
    """
    from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
    from finance_kafka.topic_check import check_topic
    from finance_lake.config import Settings
    from finance_role.settings import settings_or_exit

    settings = settings_or_exit(Settings)
    try:
        found = check_topic(settings.broker_addresses, settings.kafka_topic, settings.kafka_retention_hours)
    except (BrokerUnavailableError, TopicNotFoundError) as error:
        say(f"{error}: check KAFKA_BOOTSTRAP and KAFKA_TOPIC, or create the topic.")
        raise typer.Exit(1) from None
    for line in found.lines():
        print(line)
    verdict = f"{len(found.broken)} settings break a promise" if found.broken else "keeps all promises"
    print(f"Topic {settings.kafka_topic} at {settings.broker_addresses}, {found.partitions} partitions: {verdict}.")
    if found.broken:
        raise typer.Exit(BREAKS)
