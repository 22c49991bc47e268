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
    """What a file is known by, whatever it is called.

    Attributes:
        name: of the file, as a part of the source's name
        sha256: of the file's bytes, hexadecimal
        mapping: how it is read, as JSON
        repetition: 1, or more if the file was imported before and is to be imported again

    """

    name: str
    sha256: str
    mapping: str
    repetition: int = 1

    @property
    def source(self) -> str:
        """The name of the source of its ticks, also of its ledger."""
        return f"{self.name}-{self.digest}{f'-{self.repetition}' if self.repetition > 1 else ''}"

    @property
    def digest(self) -> str:
        """The digest of the file's bytes and of how it is read."""
        return hashlib.sha256(f"{self.sha256}{self.mapping}".encode()).hexdigest()[:DIGITS]

    def begun(self, ledgers: Path) -> Identity | None:
        """Return the newest identity that has a ledger in this folder; None if the file was never imported."""
        pattern = re.compile(rf"(.*)-{self.digest}(?:-([0-9]{{1,6}}))?\.jsonl")
        found = [match for file in ledgers.glob(f"*-{self.digest}*.jsonl") if (match := pattern.fullmatch(file.name))]
        newest = max(found, key=lambda match: int(match[2] or 1), default=None)
        return self._replace(name=newest[1], repetition=int(newest[2] or 1)) if newest else None


def identity_of(name: str, sha256: str, described: Described) -> Identity:
    """Return the identity of a file that is read in a certain way."""
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
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:NAME_CHARS].strip(".-") or "file"
    return Identity(plain, sha256, mapping.decode())


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
