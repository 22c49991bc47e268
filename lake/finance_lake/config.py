"""Settings of the financelake command: the lake's folder and its broker."""

from __future__ import annotations

from pydantic import Field

from finance_role.broker_settings import BrokerSettings
from finance_role.settings import PlaceSettings


class Settings(BrokerSettings):
    """Settings that the command reads from its environment; `finance_local.command` sets them from `.env`."""

    kafka_retention_hours: int = Field(168, ge=1)


class DashboardSettings(PlaceSettings):
    """Settings that `financelake serve` reads."""

    dashboard_port: int = Field(8050, ge=1, le=65535)
