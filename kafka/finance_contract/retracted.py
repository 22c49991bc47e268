"""A retracted tick as a quarantined record: `financelake forget` moves the ticks of a source to the quarantine, and back.

The quarantine has a value for it that depends on the tick alone, so that it can be checked against the record in the topic.
"""

from typing import Final

import msgspec

from finance_contract.tick import Tick, encode

# Not a reason of the contract: the record is valid, and a user has taken its tick back.
RETRACTED: Final = "retracted"


def retracted_value(tick: Tick) -> bytes:
    """Encode a tick as it is quarantined: its price without trailing zeros, however the record wrote it."""
    return encode(msgspec.structs.replace(tick, price=tick.price.normalize()))


def retracted_detail(tick: Tick) -> str:
    """Return the number and the source of a tick, for the detail of the quarantined record."""
    return f"{'' if tick.seq is None else tick.seq} {tick.source or ''}"
