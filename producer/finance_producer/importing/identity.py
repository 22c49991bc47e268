"""The identity of an import: the bytes of the file and how they are read. It is the `source` of its ticks."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from finance_contract import CONTRACT_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from finance_producer.reading.frames import Described

NAME_CHARS = 28
DIGITS = 16


class Identity(NamedTuple):
    """What a file is known by.

    Attributes:
        source: name of the source of its ticks, also of its ledger
        sha256: of the file's bytes, hexadecimal
        mapping: how it is read, as JSON

    """

    source: str
    sha256: str
    mapping: str


def identity_of(name: str, sha256: str, described: Described, repetition: int = 1) -> Identity:
    """Return the identity of a file that is read in a certain way; a repetition above 1 is another import of it."""
    mapping = msgspec.json.encode(
        {
            "contract": CONTRACT_VERSION,
            "roles": dict(sorted(described.roles.items())),
            "symbol": described.symbol,
            "price": described.price,
            "size": described.size,
            "time": described.time,
        }
    )
    digest = hashlib.sha256(sha256.encode() + mapping).hexdigest()[:DIGITS]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:NAME_CHARS].strip(".-") or "file"
    again = f"-{repetition}" if repetition > 1 else ""
    return Identity(f"{plain}-{digest}{again}", sha256, mapping.decode())


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
