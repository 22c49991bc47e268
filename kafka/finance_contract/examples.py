"""Golden values of the topic: some valid ticks, and one value for each reason why a value is malformed.

They are files, used byte for byte: `examples/valid/<name>.json` and `examples/malformed/<reason>.bin`. Two are made here
instead: a tombstone has no value at all, and too_long is the minimal message padded with spaces to one byte over the limit, so
that only its length is wrong.
"""

from pathlib import Path

from finance_contract.reason import Reason
from finance_contract.tick import MAX_VALUE_BYTES

_FOLDER = Path(__file__).with_suffix("")


def valid() -> dict[str, bytes]:
    """Return the valid values by name."""
    return {path.stem: path.read_bytes() for path in sorted((_FOLDER / "valid").glob("*.json"))}


def malformed() -> dict[Reason, bytes | None]:
    """Return one value for every reason, in the order of `Reason`; None is the tombstone."""
    # A record's timestamp is not part of its value.
    return {reason: _malformed(reason) for reason in Reason if reason is not Reason.TIMESTAMP_RANGE}


def _malformed(reason: Reason) -> bytes | None:
    if reason is Reason.TOMBSTONE:
        return None
    if reason is Reason.TOO_LONG:
        return valid()["minimal"].rjust(MAX_VALUE_BYTES + 1)
    return (_FOLDER / "malformed" / f"{reason}.bin").read_bytes()
