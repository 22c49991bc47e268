"""Settings of the brokers and the topic: the lake's own brokers, or others. `make local` and `financelake` read them."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from finance_role.broker_kind import Kind, chosen
from finance_role.ports import LOOPBACK
from finance_role.settings import Addresses, PlaceSettings, Port, Switch, TopicName


class BrokerSettings(PlaceSettings):
    """The brokers at KAFKA_BOOTSTRAP; without it one on this machine, or three with CLUSTER=1, each with a port of its own."""

    kafka_bootstrap: Addresses | None = None
    kraft: Switch = False
    cluster: Switch = False
    kafka_port: Port = 9092
    kafka_port_2: Port = 9094
    kafka_port_3: Port = 9095
    kafka_controller_port: Port = 9093
    zookeeper_port: Port = 2181
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    kafka_topic: TopicName = "finance"

    @field_validator("cluster")
    @classmethod
    def _is_one_kind(cls, value: bool, others: ValidationInfo) -> bool:  # noqa: FBT001 (pydantic passes it)
        chosen(kraft=bool(others.data.get("kraft")), cluster=value)
        return value

    @property
    def kind(self) -> Kind:
        """The kind of Kafka that the settings choose."""
        return chosen(kraft=self.kraft, cluster=self.cluster)

    @property
    def broker_ports(self) -> dict[str, int]:
        """The ports of the lake's own brokers by key, the first broker's first; none with KAFKA_BOOTSTRAP."""
        if self.kafka_bootstrap:
            return {}
        further = {"KAFKA_PORT_2": self.kafka_port_2, "KAFKA_PORT_3": self.kafka_port_3} if self.cluster else {}
        return {"KAFKA_PORT": self.kafka_port, **further}

    @property
    def broker_addresses(self) -> str:
        """The brokers' addresses, as Kafka's clients want them: KAFKA_BOOTSTRAP, or those on this machine."""
        return self.kafka_bootstrap or ",".join(f"{LOOPBACK}:{port}" for port in self.broker_ports.values())
