"""Validate the settings of all roles before any process starts, so that a wrong one is reported before a topic is created."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from finance_job.config import Settings as JobSettings
from finance_local.config import ALL_ROLES, Settings
from finance_producer.config import Settings as ProducerSettings
from finance_role.exit_codes import USAGE
from finance_role.settings import RoleSettings, complaints
from finance_topic.check import Settings as TopicCheckSettings
from finance_topic.config import Settings as TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTINGS: dict[str, type[RoleSettings]] = {
    "topic-init": TopicSettings,
    "topic-check": TopicCheckSettings,
    "producer": ProducerSettings,
    "spark-job": JobSettings,
}


def validated_or_exit(*only: str) -> Settings:
    """Return the supervisor's settings. If any key of it or of its roles is wrong, print all of them and exit with code 2.

    The roles are those of ROLES, or `only` the given ones.
    """
    wrong = _wrong([Settings])
    roles = only or (ALL_ROLES if wrong else _validated(Settings()))
    wrong += [message for message in _wrong(SETTINGS[role] for role in roles if role in SETTINGS) if message not in wrong]
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        sys.exit(USAGE)
    return Settings()


def _validated(settings: Settings) -> tuple[str, ...]:
    """Return what reads settings: the roles, and the check of the topic at KAFKA_BOOTSTRAP."""
    return ("topic-check", *settings.roles) if settings.kafka_bootstrap else settings.roles


def _wrong(classes: Iterable[type[RoleSettings]]) -> list[str]:
    messages: list[str] = []
    for settings in classes:
        try:
            settings()
        except ValidationError as error:
            messages += [message for message in complaints(error) if message not in messages]
    return messages
