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
    from finance_contract.topic_check import broken, notes
    from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, topic_layout, topic_settings
    from finance_lake.config import Settings
    from finance_role.settings import settings_or_exit

    settings = settings_or_exit(Settings)
    address = (settings.bootstrap, settings.kafka_topic)
    try:
        layout, actual = topic_layout(*address), topic_settings(*address)
    except (BrokerUnavailableError, TopicNotFoundError) as error:
        say(f"{error}: check KAFKA_BOOTSTRAP and KAFKA_TOPIC, or create the topic.")
        raise typer.Exit(1) from None
    faults = broken(*address, actual, settings.kafka_retention_hours)
    for fault in faults:
        print(f"breaks: {fault.what}\n   fix: {fault.fix}")
    for note in notes(layout.replicas, actual):
        print(f"  note: {note}")
    verdict = f"{len(faults)} settings break a promise" if faults else "keeps all promises"
    print(f"Topic {settings.kafka_topic} at {settings.bootstrap}, {layout.partitions} partitions: {verdict}.")
    if faults:
        raise typer.Exit(BREAKS)
