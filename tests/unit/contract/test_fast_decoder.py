"""The fast path of `decode` compared with the reference decoder: the same result for every value."""

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Reason, Tick, decode, encode, examples, strict

MUTATIONS = 200_000
SEED = 20261124

CORPUS = [value for value in [*examples.valid().values(), *examples.malformed().values()] if value and len(value) < 1000]
TOKENS = [re.findall(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+|\s+|[^"]', value) for value in CORPUS]
MEMBERS = {
    b'"symbol"': [b'"AAPL"', b'"BRK.B"', b'"A' + b"-" * 63 + b'"', b'"AAPL  251219C00150000"', b'"^a:b=$@#+&*"'],
    b'"price"': [
        b"174.5",
        b"174.50",
        b"1",
        b"1e2",
        b"1e0000000000002",
        b"1E-8",
        b"0.00000001",
        b"9999999999.99999999",
        b"0.100000000",
    ],
    b'"size"': [b"100", b"0", b"-0", b"9223372036854775807"],
    b'"ts_event"': [b"1764000000000000000", b"946684800000000000", b"4102444799999999999"],
    b'"seq"': [b"12", b"0"],
    b'"source"': [b'"sim-7-20261124T052216Z"', b'" "', b'"a:b,{c}[d]"', b'"' + b"~" * 64 + b'"'],
}
GAPS = [b"", b"", b"", b" ", b"\n", b"\t\r"]
PIECES = [
    *(b'"', b"\\", b":", b",", b"{", b"}", b"[", b"]", b"-", b".", b"0", b"e", b"+"),
    *(b" ", b"\t", b"\n", b"\r", b"\x00", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\xa0", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf"),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity", b"nul"),
    *(
        b"-1",
        b"01",
        b"1.",
        b".5",
        b"1e",
        b"1E+2",
        b"1e-9",
        b"1e10",
        b"1e400",
        b"1e99999999999999999999",
        b"1e-99999999999999999999",
    ),
    *(b"174.500000000", b"1.123456789", b"10000000000", b"0.000000000", b"1.0", b"100.0", b"18446744073709551616", b"9" * 50),
    *(
        b'"symbol"',
        b'"price"',
        b'"size"',
        b'"ts_event"',
        b'"seq"',
        b'"source"',
        b'"venue"',
        b'""',
        b'"A"',
        b'"174.5"',
        b'"NaN"',
    ),
    *(
        b'"s\\u0079mbol"',
        b'"\\u0041"',
        b'"\\ud800"',
        b'"\\n"',
        b'"a\\"b"',
        b'"-aapl"',
        b'"aapl "',
        b'"\x7f"',
        b'"' + b"A" * 65 + b'"',
    ),
    *(b'"size":1,', b',"size":null', b',"venue":1', b',"price":1', b"[]", b"{}", b'{"a":1}', b"[" * 70),
]


def verdict(decoder: Callable[[bytes], Tick], value: bytes) -> tuple[object, str]:
    try:
        tick = decoder(value)
    except Malformed as malformed:
        return malformed.reason, malformed.detail
    return tick, str(tick.price)


def composed(rng: random.Random) -> list[bytes]:
    """Return the tokens of a mostly valid message: any fields, in any order, with gaps."""
    names = rng.sample([*MEMBERS], rng.choice((2, 6, 6, 6)))
    tokens = [b"{"]
    for name in names:
        tokens += [name, b":", rng.choice(GAPS), rng.choice(MEMBERS[name]), rng.choice(GAPS), b","]
    return [*tokens[:-1], b"}", rng.choice(GAPS)]


def mutate(rng: random.Random, tokens: list[bytes]) -> None:
    place, other, piece = rng.randrange(len(tokens)), rng.randrange(len(tokens)), rng.choice(PIECES)
    match rng.randrange(5):
        case 0:
            tokens[place] = piece
        case 1:
            tokens[place] += piece
        case 2:
            tokens[place], tokens[other] = tokens[other], tokens[place]
        case 3:
            tokens[place] = tokens[place][1:]
        case _:
            cut = rng.randrange(len(tokens[place]) + 1)
            tokens[place] = tokens[place][:cut] + rng.randbytes(1) + tokens[place][cut + 1 :]


def message(rng: random.Random) -> bytes:
    tokens = composed(rng) if rng.random() < 0.8 else list(rng.choice(TOKENS))
    for _ in range(rng.choice((0, 1, 1, 2))):
        mutate(rng, tokens)
    return b"".join(tokens)


@pytest.mark.parametrize("value", CORPUS)
def test_both_agree_on_every_golden_value(value: bytes) -> None:
    assert verdict(decode, value) == verdict(strict.decode_strictly, value)


@settings(deadline=None, max_examples=300)
@given(st.from_type(Tick))
def test_both_agree_on_every_tick(tick: Tick) -> None:
    assert verdict(decode, encode(tick)) == verdict(strict.decode_strictly, encode(tick))


@settings(deadline=None, max_examples=300)
@given(st.from_type(Tick), st.data())
def test_both_agree_on_every_tick_with_bytes_changed(tick: Tick, data: st.DataObject) -> None:
    value = bytearray(encode(tick))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    assert verdict(decode, bytes(value)) == verdict(strict.decode_strictly, bytes(value))


def test_both_agree_on_200_000_mutations() -> None:
    rng = random.Random(SEED)  # noqa: S311 (repeatable)
    seen: Counter[object] = Counter()
    for _ in range(MUTATIONS):
        value = message(rng)
        outcome, shown = verdict(decode, value)
        assert (outcome, shown) == verdict(strict.decode_strictly, value), value
        seen[outcome if isinstance(outcome, Reason) else Tick] += 1
    assert seen[Tick] > MUTATIONS / 10
    assert seen.keys() >= set(Reason) - {Reason.TOMBSTONE, Reason.TOO_LONG, Reason.EMPTY, Reason.TIMESTAMP_RANGE}


@settings(deadline=None, max_examples=300)
@given(tick=st.from_type(Tick))
def test_an_encoded_tick_never_needs_the_reference_decoder(tick: Tick) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict, "decode_strictly", lambda _: pytest.fail("the reference decoder was called"))
        assert b"\\" in encode(tick) or decode(encode(tick)) == tick
