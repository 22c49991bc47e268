"""Encoding a tick: exact, compact, and decoded to the same tick."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Tick, decode, encode, key


@settings(deadline=None, max_examples=300)
@given(st.from_type(Tick))
def test_every_tick_is_decoded_as_it_was_encoded(tick: Tick) -> None:
    assert decode(encode(tick)) == tick


@settings(deadline=None, max_examples=300)
@given(st.from_type(Tick))
def test_a_message_has_the_present_fields_in_order(tick: Tick) -> None:
    written = json.loads(encode(tick), parse_float=Decimal)
    expected = {name: getattr(tick, name) for name in Tick.__struct_fields__}
    assert list(written.items()) == [(name, value) for name, value in expected.items() if value is not None]


@pytest.mark.parametrize(
    ("price", "written"),
    [
        ("174.5", b"174.5"),
        ("174.50", b"174.50"),
        ("1E+2", b"100"),
        ("1.745E+2", b"174.5"),
        ("0.00000001", b"0.00000001"),
        ("1E-8", b"0.00000001"),
        ("9999999999.99999999", b"9999999999.99999999"),
        ("0.1000000000000000055511151231257827", b"0.1000000000000000055511151231257827"),
    ],
)
def test_a_price_is_written_exactly_and_without_an_exponent(price: str, written: bytes) -> None:
    assert encode(Tick("GE", Decimal(price), seq=7)) == b'{"symbol":"GE","price":' + written + b',"seq":7}'


def test_only_the_price_is_rewritten_even_if_a_text_looks_like_it() -> None:
    tick = Tick('"price":1E+2', Decimal("1E+2"), source='"price":1E+2')
    assert json.loads(encode(tick)) == {"symbol": '"price":1E+2', "price": 100, "source": '"price":1E+2'}


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_price_that_is_not_finite_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        encode(Tick("AAPL", Decimal(price)))


def test_a_zero_is_written_and_only_none_is_left_out() -> None:
    assert encode(Tick("AAPL", Decimal(1), size=0, seq=0)) == b'{"symbol":"AAPL","price":1,"size":0,"seq":0}'


def test_the_key_is_the_symbol() -> None:
    assert key("BRK.B") == b"BRK.B"
