"""Settings of the financelake command: the lake's folder and its broker."""

from __future__ import annotations

from pydantic import Field

from finance_role.broker_settings import BrokerSettings
from finance_role.settings import RoleSettings


class Settings(BrokerSettings):
    """Settings that the command reads from its environment; `finance_local.command` sets them from `.env`."""

    kafka_bootstrap: str = ""
    kafka_retention_hours: int = Field(168, ge=1)

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses: KAFKA_BOOTSTRAP, which containers set, else those on this machine."""
        return self.kafka_bootstrap or self.broker_addresses


class DashboardSettings(RoleSettings):
    """Settings that `financelake serve` reads."""

    dashboard_port: int = Field(8050, ge=1, le=65535)
