"""Settings of a lake's own brokers on this machine: their kind, ports and topic. `make local` and `financelake` read them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from finance_role.broker_kind import Kind, chosen, switch
from finance_role.settings import RoleSettings

LOOPBACK = "127.0.0.1"
Port = Annotated[int, Field(ge=1, le=65535)]
Switch = Annotated[bool, BeforeValidator(switch)]


class BrokerSettings(RoleSettings):
    """One broker, or three with CLUSTER=1; each has a port of its own."""

    kraft: Switch = False
    cluster: Switch = False
    kafka_port: Port = 9092
    kafka_port_2: Port = 9094
    kafka_port_3: Port = 9095
    kafka_controller_port: Port = 9093
    zookeeper_port: Port = 2181
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")

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
        """The brokers' ports by key, the first broker's first."""
        further = {"KAFKA_PORT_2": self.kafka_port_2, "KAFKA_PORT_3": self.kafka_port_3} if self.cluster else {}
        return {"KAFKA_PORT": self.kafka_port, **further}

    @property
    def broker_addresses(self) -> str:
        """The brokers' addresses on this machine, as Kafka's clients want them."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.broker_ports.values())
