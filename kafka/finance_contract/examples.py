"""Golden values of the topic: some that are ticks, and one for each reason why a value is malformed.

They are files, used byte for byte: `examples/valid/<name>.json` and `examples/malformed/<reason>.bin`. Two cannot be
files, or should not: a tombstone has no value at all, and too_long is the minimal message behind spaces up to one byte
over the limit, so that its length is all that is wrong with it.
"""

from pathlib import Path

from finance_contract.reason import Reason
from finance_contract.tick import MAX_VALUE_BYTES

_FOLDER = Path(__file__).with_suffix("")


def valid() -> dict[str, bytes]:
    """Give the valid values by name."""
    return {path.stem: path.read_bytes() for path in sorted((_FOLDER / "valid").glob("*.json"))}


def malformed() -> dict[Reason, bytes | None]:
    """Give one value for every reason, in the order of the reasons; None is the tombstone."""
    # A record's timestamp is no part of its value.
    return {reason: _malformed(reason) for reason in Reason if reason is not Reason.TIMESTAMP_RANGE}


def _malformed(reason: Reason) -> bytes | None:
    if reason is Reason.TOMBSTONE:
        return None
    if reason is Reason.TOO_LONG:
        return valid()["minimal"].rjust(MAX_VALUE_BYTES + 1)
    return (_FOLDER / "malformed" / f"{reason}.bin").read_bytes()
