"""Run topic-init: `python -m finance_topic`. Idempotent; exit code 0 only if the topic has the required settings."""

from __future__ import annotations

import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from finance_role.log import configure_logging
from finance_role.settings import begin_role
from finance_topic import topic
from finance_topic.config import Settings


def main() -> int:
    """Wait for the broker, then create the topic or compare the existing one."""
    settings = begin_role(Settings)
    log = configure_logging()
    config = settings.topic_config()
    required = topic.Required(settings.kafka_partitions, settings.kafka_replication, config)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        topic.wait_for_brokers(admin, settings.kafka_replication, settings.broker_wait_seconds)
        if topic.create(admin, settings.kafka_topic, required):
            log.info("topic created", topic=settings.kafka_topic, partitions=settings.kafka_partitions, **config)
        described = topic.wait_for_topic(admin, settings.kafka_topic, settings.broker_wait_seconds)
    except KafkaException as error:
        reason = error.args[0].str()
        log.error("no answer from Kafka", bootstrap=settings.kafka_bootstrap, error=reason)  # noqa: TRY400 - not a crash
        return 1
    except topic.TooFewBrokersError as error:
        log.error("brokers are missing", bootstrap=settings.kafka_bootstrap, reason=str(error))  # noqa: TRY400 - not a crash
        return 1
    if wrong := topic.differences(described, required):
        keys = "KAFKA_PARTITIONS, KAFKA_REPLICATION and KAFKA_RETENTION_HOURS"
        mend = f"change the topic with Kafka's own tools, or set {keys} in .env to match it"
        log.error("the topic exists but is not as wanted", topic=settings.kafka_topic, differs="; ".join(wrong), mend=mend)
        return 1
    log.info("topic ready", topic=settings.kafka_topic, id=described.id, partitions=settings.kafka_partitions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
