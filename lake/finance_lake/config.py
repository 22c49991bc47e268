"""Settings of the financelake command: where the lake is, and the broker that it came from."""

from __future__ import annotations

from pydantic import Field

from finance_role.settings import RoleSettings


class Settings(RoleSettings):
    """Keys of `.env` that the command reads from its environment; `finance_local.command` puts them there."""

    kafka_bootstrap: str = ""
    kafka_port: int = Field(9092, ge=1, le=65535)
    zookeeper_port: int = Field(2181, ge=1, le=65535)
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")

    @property
    def bootstrap(self) -> str:
        """Where the broker is: KAFKA_BOOTSTRAP, which a container has, or KAFKA_PORT of this machine."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"


class DashboardSettings(RoleSettings):
    """Keys that `financelake serve` reads."""

    dashboard_port: int = Field(8050, ge=1, le=65535)
