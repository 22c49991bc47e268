"""The contract of the topic `finance`, and the codec that both sides use. kafka/README.md has the rules."""

from finance_contract.codec import decode
from finance_contract.members import too_long
from finance_contract.reason import Malformed, Reason
from finance_contract.tick import CONTRACT_VERSION, MAX_DEPTH, MAX_VALUE_BYTES, TOPIC, Tick, encode, key
from finance_contract.timestamps import TIMESTAMPS_MS, bad_timestamp

__all__ = [
    "CONTRACT_VERSION",
    "MAX_DEPTH",
    "MAX_VALUE_BYTES",
    "TIMESTAMPS_MS",
    "TOPIC",
    "Malformed",
    "Reason",
    "Tick",
    "bad_timestamp",
    "decode",
    "encode",
    "key",
    "too_long",
]
