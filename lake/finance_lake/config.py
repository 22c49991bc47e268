"""Settings of the financelake command: the lake's folder and its broker."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt

from finance_role.broker_kind import switch
from finance_role.settings import RoleSettings


class Settings(RoleSettings):
    """Settings that the command reads from its environment; `finance_local.command` sets them from `.env`."""

    kafka_bootstrap: str = ""
    kafka_port: int = Field(9092, ge=1, le=65535)
    kraft: Annotated[bool, BeforeValidator(switch)] = False
    kafka_controller_port: int = Field(9093, ge=1, le=65535)
    zookeeper_port: int = Field(2181, ge=1, le=65535)
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kafka_retention_hours: PositiveInt = 168

    @property
    def bootstrap(self) -> str:
        """The broker's address: KAFKA_BOOTSTRAP, which containers set, else KAFKA_PORT on this machine."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"


class DashboardSettings(RoleSettings):
    """Settings that `financelake serve` reads."""

    dashboard_port: int = Field(8050, ge=1, le=65535)
