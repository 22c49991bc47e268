"""The settings of all roles, judged before any process starts: a wrong one is no reason to make a topic first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from finance_job.config import Settings as JobSettings
from finance_local.config import ALL_ROLES, Settings
from finance_producer.config import Settings as ProducerSettings
from finance_role.exit_codes import USAGE
from finance_role.settings import RoleSettings, complaints
from finance_topic.config import Settings as TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTINGS: dict[str, type[RoleSettings]] = {
    "topic-init": TopicSettings,
    "producer": ProducerSettings,
    "spark-job": JobSettings,
}


def judged_or_exit(*only: str) -> Settings:
    """Read the settings of the supervisor; name every wrong key of it and of its roles in one go and exit with code 2.

    The roles are those of ROLES, or `only` some.
    """
    wrong = _wrong([Settings])
    roles = only or (ALL_ROLES if wrong else Settings().roles)
    wrong += [one for one in _wrong(SETTINGS[role] for role in roles if role in SETTINGS) if one not in wrong]
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        sys.exit(USAGE)
    return Settings()


def _wrong(classes: Iterable[type[RoleSettings]]) -> list[str]:
    found: list[str] = []
    for settings in classes:
        try:
            settings()
        except ValidationError as error:
            found += [one for one in complaints(error) if one not in found]
    return found
