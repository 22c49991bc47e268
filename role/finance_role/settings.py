"""Settings: each role reads its part of the environment once, in `__main__`, into a frozen object."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from finance_role import own_store
from finance_role.broker_kind import switch
from finance_role.environment import settle
from finance_role.exit_codes import USAGE
from finance_role.literal_paths import fault


def _names_a_topic(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("Kafka has no topic of this name")
    return name


TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$"), AfterValidator(_names_a_topic)]
# Addresses of brokers, as Kafka's clients want them.
Addresses = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+:[0-9]{1,5}(,[A-Za-z0-9_.-]+:[0-9]{1,5})*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Switch = Annotated[bool, BeforeValidator(switch)]
# A bucket, and a prefix in it that no library reads as a pattern.
LAKE_URI = r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?)?$"
TickSource = Literal["simulate", "replay", "none"]


class RoleSettings(BaseSettings):
    """Keys shared by all roles. A field `ticks_per_second` is read from TICKS_PER_SECOND; an empty value is the default."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="forbid")

    data_dir: Path = Field(Path("data"), validate_default=True)
    data_umask: str = Field("0027", pattern=r"^0?[0-7]{3}$")  # permissions removed from the lake's files

    @field_validator("data_dir")
    @classmethod
    def _is_usable(cls, folder: Path) -> Path:
        if what := fault(folder):
            raise ValueError(what)
        return folder


class PlaceSettings(RoleSettings):
    """Where the lake is, for the roles that read or write it: at LAKE_URI in an object store, or by default in DATA_DIR.

    With S3=1 it is in an object store of its own, on this machine.
    """

    s3: Switch = False
    s3_port: Port = 7070
    lake_uri: str = Field("", pattern=LAKE_URI, validate_default=True)
    s3_endpoint: str = Field("", pattern=r"^(https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)?$", validate_default=True)
    s3_region: str = Field("us-east-1", pattern=r"^[a-z0-9-]+$")
    s3_credentials_file: Path | None = Field(None, validate_default=True)
    s3_cache_mb: int = Field(4096, ge=1)

    @field_validator("lake_uri", "s3_endpoint", "s3_credentials_file")
    @classmethod
    def _of_own_store(cls, value: str | Path | None, others: ValidationInfo) -> str | Path | None:
        """Return what follows from S3=1, which no other value may contradict."""
        if not others.data.get("s3") or not {"data_dir", "s3_port"} <= others.data.keys():
            return value
        own = own_store.address(others.data["data_dir"], others.data["s3_port"])[str(others.field_name)]
        if value not in {"", None, Path(), own}:
            raise ValueError("S3=1 runs an object store of the lake's own: leave this key empty, or set S3=0 for another store")
        return own

    @field_validator("s3_credentials_file")
    @classmethod
    def _has_credentials(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        """Require the file for a lake in an object store. What it contains is checked by who reads it."""
        if file in {None, Path()} and others.data.get("lake_uri"):
            raise ValueError("with LAKE_URI it must name a file with the keys of the object store")
        return file


S = TypeVar("S", bound=RoleSettings)


def settings_or_exit(settings: type[S]) -> S:
    """Read the settings from the environment; if any are wrong, print all of them and exit with code 2."""
    try:
        return settings()
    except ValidationError as error:
        sys.stderr.write("\n".join(complaints(error)) + "\n")
        sys.exit(USAGE)


def begin_role(settings: type[S]) -> S:
    """Read a role's settings, or exit; then clean this process's environment (finance_role.environment)."""
    values = settings_or_exit(settings)
    settle(values.data_umask)
    return values


def complaints(error: ValidationError) -> list[str]:
    """Return a sentence for each wrong key: its name, its value and what is allowed."""
    return [f"{_key(problem['loc'])}={problem['input']!r}: {problem['msg']}." for problem in error.errors()]


def _key(location: tuple[int | str, ...]) -> str:
    return "_".join(str(part) for part in location).upper()
