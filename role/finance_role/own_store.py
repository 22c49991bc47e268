"""The object store of the lake's own (S3=1): its address, its keys, and whether a lake is in it.

Standard library only, because `make up` imports this module before anything is installed.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from finance_role.secret_file import keep_secret, secret_file

if TYPE_CHECKING:
    from pathlib import Path

BUCKET = "lake"
URI = f"s3://{BUCKET}/finance"
ACCESS_KEY = "financelake"
SECRET_BYTES = 30
NAME = "s3"
# The settings that follow from S3=1.
FOLLOWING = ("LAKE_URI", "S3_ENDPOINT", "S3_CREDENTIALS_FILE")
# A folder that a lake without S3=1 has as soon as it stores anything.
TICKS = "finance_delta"


def address(data_dir: Path, port: int) -> dict[str, str | Path]:
    """Return the settings with which processes on this machine reach the lake in it, by their fields."""
    return {
        "lake_uri": URI,
        "s3_endpoint": f"http://127.0.0.1:{port}",
        "s3_credentials_file": credentials_file(data_dir),
    }


def credentials_file(data_dir: Path) -> Path:
    """Return the path of the keys, in the format of ~/.aws/credentials."""
    return secret_file(data_dir, NAME)


def make_credentials(data_dir: Path) -> Path:
    """Draw the keys if there are none yet; return the path of their file. Raises beneath.IrregularError."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return keep_secret(data_dir, NAME, f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n")


def require_alone(others: list[str]) -> None:
    """Raise ValueError if settings of another store are set beside S3=1; `others` are their names."""
    if others:
        raise ValueError(
            f"S3=1 runs an object store of the lake's own: leave {' and '.join(others)} empty, or set S3=0 for another store"
        )


def refusal(data_dir: Path, *, chosen: bool, lake_uri: str) -> str | None:
    """Return why the lake cannot be started with this value of S3, and what to do; None if it can.

    Otherwise a second lake would begin beside the first one, with the same topic.
    """
    if chosen and (data_dir / TICKS).is_dir():
        return (
            f"The lake at {data_dir} has its tables in this folder: start it without S3=1. "
            "A lake in an object store needs another DATA_DIR."
        )
    if not chosen and not lake_uri and (data_dir / NAME / BUCKET).is_dir():
        return f"The lake at {data_dir} is in an object store of its own: start it with S3=1, on the command line or in .env."
    return None
