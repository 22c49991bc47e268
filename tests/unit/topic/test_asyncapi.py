"""The AsyncAPI page says what topic-init makes."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from finance_topic.config import Settings

PAGE = Path(__file__).parents[3] / "kafka" / "asyncapi.yaml"


def test_the_page_has_the_settings_of_the_topic() -> None:
    (channel,) = YAML(typ="safe").load(PAGE.read_text())["channels"].values()
    kafka = channel["bindings"]["kafka"]
    told = {key: value[0] if isinstance(value, list) else str(value) for key, value in kafka["topicConfiguration"].items()}
    wanted = Settings().topic_config()
    # What the binding has no key for, the page leaves out.
    assert told == {key: wanted[key] for key in told}
    assert {"cleanup.policy", "retention.ms", "max.message.bytes"} <= told.keys()
    assert kafka["partitions"] == Settings().kafka_partitions
