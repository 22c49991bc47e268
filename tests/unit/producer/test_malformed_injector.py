"""Records that are malformed on purpose: their reasons, order and share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finance_contract import Malformed, Reason, decode
from finance_contract.examples import malformed
from finance_producer.malformed_injector import MalformedInjector


def _reason(value: bytes | None) -> Reason:
    with pytest.raises(Malformed) as verdict:
        decode(value)
    return verdict.value.reason


def test_every_reason_comes_once_before_any_comes_again() -> None:
    values = MalformedInjector(0.5, 7).due(3 * len(malformed()))
    assert Counter(map(_reason, values)) == dict.fromkeys(malformed(), 3)
    assert Counter(map(_reason, values[: len(malformed())])) == dict.fromkeys(malformed(), 1)


def test_a_rate_of_zero_makes_none() -> None:
    assert MalformedInjector(0, 7).due(10**9) == []


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    assert MalformedInjector(0.5, 7).due(100) == MalformedInjector(0.5, 7).due(100) != MalformedInjector(0.5, 8).due(100)


@given(st.sampled_from([0.001, 0.01, 0.2, 0.5, 0.9]), st.lists(st.integers(0, 400), max_size=20))
def test_the_share_of_malformed_records_is_the_rate(rate: float, blocks: list[int]) -> None:
    injector, ticks, made = MalformedInjector(rate, 1), 0, 0
    for block in blocks:
        ticks += block
        made += len(injector.due(ticks))
        assert abs(made - rate * (made + ticks)) <= 1
