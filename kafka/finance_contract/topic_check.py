"""Which promises of the lake a topic of another cluster would break, and how to fix each. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from finance_contract.tick import MAX_VALUE_BYTES
from finance_contract.topic import RETENTION, SETTINGS, retained, unkept

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE: Final = "max.message.bytes"
# From a value of the contract's length with room for its headers, up to Kafka's default, 12 bytes above that of topic-init.
FITTING_BYTES: Final = range(MAX_VALUE_BYTES + 4096, 1_048_588 + 1)


class Broken(NamedTuple):
    """A setting of the topic that breaks a promise: what follows from it, and the command that fixes it."""

    what: str
    fix: str


def broken(bootstrap: str, topic: str, actual: Mapping[str, str], hours: int) -> list[Broken]:
    """Return the settings that break a promise; `hours` is how long the job may be down."""
    judged = {name: value for name, value in actual.items() if name != SIZE or int(value) not in FITTING_BYTES}
    required = {**{name: setting.value for name, setting in SETTINGS.items()}, RETENTION: retained(hours).value}
    command = f"kafka-configs.sh --bootstrap-server {shlex.quote(bootstrap)} --alter --entity-type topics --entity-name"
    return [
        Broken(what, f"{command} {shlex.quote(topic)} --add-config {name}={required[name]}")
        for what in unkept(judged, hours)
        for name in [what.partition("=")[0]]
    ]


def notes(replicas: int, actual: Mapping[str, str]) -> list[str]:
    """Return what the operator should know, although the lake itself keeps its promises."""
    if replicas == 1:
        return ["replication 1: a lost disk of one broker loses the records that are not in the lake yet"]
    if int(actual.get("min.insync.replicas", 1)) == 1:
        return ["min.insync.replicas=1: the producer's acknowledgement may come from one broker alone; 2 survives its loss"]
    return []
