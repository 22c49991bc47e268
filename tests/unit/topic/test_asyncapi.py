"""The AsyncAPI document has the settings with which topic-init creates the topic."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from finance_topic.config import Settings

PAGE = Path(__file__).parents[3] / "kafka" / "asyncapi.yaml"


def test_the_page_has_the_settings_of_the_topic() -> None:
    (channel,) = YAML(typ="safe").load(PAGE.read_text())["channels"].values()
    kafka = channel["bindings"]["kafka"]
    documented = {
        key: value[0] if isinstance(value, list) else str(value) for key, value in kafka["topicConfiguration"].items()
    }
    config = Settings().topic_config()
    # The document leaves out settings for which the binding has no key.
    assert documented == {key: config[key] for key in documented}
    assert {"cleanup.policy", "retention.ms", "max.message.bytes"} <= documented.keys()
    assert kafka["partitions"] == Settings().kafka_partitions
