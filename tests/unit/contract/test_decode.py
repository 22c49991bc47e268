"""The rules of the contract, one by one."""

import json
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import MAX_DEPTH, MAX_VALUE_BYTES, Malformed, Reason, Tick, decode, strict
from finance_contract.tick import SYMBOL_VERSION_1

MINIMAL = b'{"symbol": "AAPL", "price": 174.5}'


def read(value: bytes | bytearray | memoryview | None) -> Tick:
    """Decode, and check that the reference decoder returns the same tick. Refusals always come from the reference decoder."""
    tick = decode(value)
    assert repr(strict.decode_strictly(value)) == repr(tick)
    return tick


def reason_of(value: bytes | bytearray | memoryview | None) -> Reason | None:
    try:
        read(value)
    except Malformed as malformed:
        return malformed.reason
    return None


def with_price(text: str) -> bytes:
    return f'{{"symbol":"AAPL","price":{text}}}'.encode()


def with_field(name: str, text: str) -> bytes:
    return f'{{"symbol":"AAPL","price":174.5,"{name}":{text}}}'.encode()


def test_the_limits_are_those_of_the_contract() -> None:
    assert (MAX_VALUE_BYTES, MAX_DEPTH) == (65_536, 64)


def test_the_minimal_message_is_a_tick() -> None:
    assert read(MINIMAL) == Tick("AAPL", Decimal("174.5"))


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("174.5", "174.5"),
        ("174.50", "174.5"),
        ("1.745e2", "174.5"),
        ("1.745E+2", "174.5"),
        ("17450e-2", "174.5"),
        ("174.500000000", "174.5"),
        ("0.00000001", "1e-8"),
        ("1e-8", "1e-8"),
        ("1e00000000000000000000002", "100"),
        ("1e9", "1000000000"),
        ("9999999999.99999999", "9999999999.99999999"),
        ("9999999999.99999999" + "0" * 60_000, "9999999999.99999999"),
        ("1" + "0" * 60_000 + "e-60000", "1"),
        ("0." + "0" * 60_000 + "1e60001", "1"),
    ],
)
def test_a_price_is_read_exactly(text: str, price: str) -> None:
    assert read(with_price(text)).price == Decimal(price)


@pytest.mark.parametrize("text", ["174.50000000000", "1" + "0" * 60_000 + "e-60000", "1e2", "1e-8"])
def test_a_price_never_has_more_than_8_decimal_places_or_18_digits(text: str) -> None:
    _, digits, exponent = read(with_price(text)).price.as_tuple()
    assert isinstance(exponent, int)
    assert exponent >= -8
    assert len(digits) <= 18


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", Reason.PRICE_RANGE),
        ("-0", Reason.PRICE_RANGE),
        ("0.000000000", Reason.PRICE_RANGE),
        ("-1", Reason.PRICE_RANGE),
        ("-1.123456789", Reason.PRICE_RANGE),
        ("10000000000", Reason.PRICE_RANGE),
        ("10000000000.000000001", Reason.PRICE_RANGE),
        ("1e10", Reason.PRICE_RANGE),
        ("1e400", Reason.PRICE_RANGE),
        ("1e999999999999999999999", Reason.PRICE_RANGE),
        ("-1e-999999999999999999999", Reason.PRICE_RANGE),
        ("0e999999999999999999999", Reason.PRICE_RANGE),
        ("0e-999999999999999999999", Reason.PRICE_RANGE),
        ("9" * 60_000, Reason.PRICE_RANGE),
        ("1e" + "9" * 60_000, Reason.PRICE_RANGE),
        ("1.123456789", Reason.PRICE_DECIMALS),
        ("1e-9", Reason.PRICE_DECIMALS),
        ("9999999999.999999999", Reason.PRICE_DECIMALS),
        ("1." + "0" * 60_000 + "1", Reason.PRICE_DECIMALS),
        ("1e-999999999999999999999", Reason.PRICE_DECIMALS),
        ("1e-" + "9" * 60_000, Reason.PRICE_DECIMALS),
        ('"174.5"', Reason.PRICE_TYPE),
        ('"NaN"', Reason.PRICE_TYPE),
        ("true", Reason.PRICE_TYPE),
        ("[174.5]", Reason.PRICE_TYPE),
        ('{"price":174.5}', Reason.PRICE_TYPE),
        ("null", Reason.PRICE_MISSING),
        ("NaN", Reason.NOT_FINITE),
        ("Infinity", Reason.NOT_FINITE),
        ("-Infinity", Reason.NOT_FINITE),
        ("nan", Reason.NOT_JSON),
        ("-NaN", Reason.NOT_JSON),
    ],
)
def test_a_price_that_breaks_a_rule_is_refused_with_its_reason(text: str, reason: Reason) -> None:
    assert reason_of(with_price(text)) is reason


def rule_of_price(value: Fraction) -> Reason | None:
    if not 0 < value < 10**10:
        return Reason.PRICE_RANGE
    return Reason.PRICE_DECIMALS if (value * 10**8).denominator > 1 else None


@settings(deadline=None, max_examples=1000)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_a_price_is_judged_by_its_value_whatever_its_notation(text: str) -> None:
    expected = rule_of_price(Fraction(text))
    assert reason_of(with_price(text)) is expected
    assert expected or Fraction(read(with_price(text)).price) == Fraction(text)


@pytest.mark.parametrize("text", ["174.5", "1234567.12345678", "174.500000000"])
def test_the_decimal_context_of_the_caller_changes_nothing(text: str) -> None:
    with localcontext(Context(prec=3, Emax=3, Emin=-3, traps=[])):
        price = read(with_price(text)).price
        huge = reason_of(with_price("1e999999999999999999999"))
    assert price == Decimal(text)
    assert huge is Reason.PRICE_RANGE


@pytest.mark.parametrize("name", ["size", "seq", "ts_event"])
@pytest.mark.parametrize("text", ["1e18", "1764000000000000000.0", "1764000000000000000E0", '"1"', "true", "[]", "{}"])
def test_an_integer_must_be_written_as_an_integer(name: str, text: str) -> None:
    assert reason_of(with_field(name, text)) is Reason(f"{name}_type")


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("size", 0, 2**63 - 1),
        ("seq", 0, 2**63 - 1),
        ("ts_event", 946_684_800_000_000_000, 4_102_444_799_999_999_999),
    ],
)
def test_an_integer_stays_within_its_range(name: str, lowest: int, highest: int) -> None:
    assert [getattr(read(with_field(name, str(n))), name) for n in (lowest, highest)] == [lowest, highest]
    outside = [str(lowest - 1), str(highest + 1), str(2**64), "9" * 5000, "-" + "9" * 5000]
    assert {reason_of(with_field(name, text)) for text in outside} == {Reason(f"{name}_range")}


def test_a_negative_zero_is_the_integer_zero() -> None:
    assert read(with_field("size", "-0")).size == 0


@pytest.mark.parametrize("name", ["size", "ts_event", "seq", "source"])
def test_an_optional_field_that_is_null_is_absent(name: str) -> None:
    assert read(with_field(name, "null")) == read(MINIMAL)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "7",
        "BRK.B",
        "EUR/USD",
        "ES=F",
        "BTC-USD_PERP^X",
        "A" * 64,
        *"^$@#.z",
        "^GSPC",
        ".SPX",
        "$F",
        "@ES#",
        "BRK/B US",
        "A  B",
        "a:b=c+d&e*",
    ],
)
def test_a_valid_symbol_is_accepted(text: str) -> None:
    assert read(f'{{"symbol":"{text}","price":1}}'.encode()).symbol == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 65,
        " A",
        "A ",
        " ",
        *"-_/=:+&*",
        "A\\n",
        "A\\t",
        "A\\u0000",
        "\\ud800",
        "\u0391",
        "\uff21",
        "A\u00a0B",
        "A,B",
        "\u0661",
    ],
)
def test_an_invalid_symbol_is_refused(text: str) -> None:
    assert reason_of(f'{{"symbol":"{text}","price":1}}'.encode()) is Reason.SYMBOL_INVALID


@given(
    symbol=st.from_regex(SYMBOL_VERSION_1, fullmatch=True),
    cents=st.integers(1, 10**9),
    optional=st.fixed_dictionaries(
        {},
        optional={
            "size": st.none() | st.integers(0, 2**63 - 1),
            "ts_event": st.none() | st.integers(10**18, 2 * 10**18),
            "seq": st.none() | st.integers(0, 2**63 - 1),
            "source": st.none() | st.from_regex(r"[ -~]{1,64}", fullmatch=True),
        },
    ),
)
def test_a_record_of_version_1_is_the_same_tick(symbol: str, cents: int, optional: dict[str, object]) -> None:
    value = json.dumps({"symbol": symbol, "price": cents, **optional}).encode()
    assert read(value) == Tick(symbol, Decimal(cents), **optional)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [" ", "~" * 64, '\\"\\\\', "\\u0041"])
def test_a_valid_source_is_accepted(text: str) -> None:
    assert reason_of(with_field("source", f'"{text}"')) is None


@pytest.mark.parametrize("text", ["", "A" * 65, "\\n", "\x7f", "caf\u00e9", "\\ud800", "\u202e", "a\\n", "\\u0000"])
def test_an_invalid_source_is_refused(text: str) -> None:
    assert reason_of(with_field("source", f'"{text}"')) is Reason.SOURCE_INVALID


@pytest.mark.parametrize(
    "value",
    [
        b" ",
        b"null and void",
        b"2026-11-24",
        b"[1] 2",
        b"\xef\xbb\xbf" + MINIMAL,
        MINIMAL[:-1],
        b"{'symbol':'AAPL','price':174.5}",
        b'{symbol:"AAPL","price":174.5}',
        b'{"symbol":"AAPL","price":174.5,}',
        b'{"symbol":"AAPL","price":174.5 "size":1}',
        b'{"symbol":"AAPL","price":174.5]',
        b'{"symbol":"AAPL","price":174.5,"note":"a\nb"}',
        b'{"symbol":"AAPL","price":174.5,"note":"\x00"}',
        b'{"symbol":"AAPL","price":174.5,"note":"\\x41"}',
        b'{"symbol":"AAPL","price":174.5,"note":"\\u00g0"}',
        b'{"symbol":"AAPL",\x0b"price":174.5}',
        b'{"symbol":"AAPL",\xc2\xa0"price":174.5}',
        b'{"symbol":"AAPL",/* a comment */"price":174.5}',
    ],
)
def test_what_is_not_json_is_refused(value: bytes) -> None:
    assert reason_of(value) is Reason.NOT_JSON


NOT_NUMBERS = ["01", "-01", "1.", ".5", "+1", "1e", "1e+", "--1", "0x1", "1_0", "\u0661", "\uff11", "1,0", "True", "None", "''"]


@pytest.mark.parametrize("name", ["price", "size", "venue"])
@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_an_invalid_json_number_is_refused_in_every_field(name: str, text: str) -> None:
    assert reason_of(f'{{"symbol":"AAPL","{name}":{text}}}'.encode()) is Reason.NOT_JSON


@pytest.mark.parametrize("rest", [b"{}", b"x", b"}", b",", b"\x00", b"\x0c", b"\xc2\xa0", b"// a comment", MINIMAL])
def test_nothing_may_follow_the_object(rest: bytes) -> None:
    assert reason_of(MINIMAL + rest) is Reason.TRAILING_CONTENT
    assert reason_of(MINIMAL + b" \t\r\n" + rest) is Reason.TRAILING_CONTENT


@pytest.mark.parametrize("value", [b"[]", b"null", b"true", b"174.5", b'"AAPL"', b" [" + MINIMAL + b"] "])
def test_json_that_is_not_an_object_is_refused_as_such(value: bytes) -> None:
    assert reason_of(value) is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize("name", ["symbol", "price", "venue", "", "\\ud800"])
def test_a_duplicate_key_is_refused_whether_known_or_not(name: str) -> None:
    assert reason_of(f'{{"symbol":"AAPL","{name}":1,"price":174.5,"{name}":1}}'.encode()) is Reason.DUPLICATE_KEY


def test_keys_are_compared_after_unescaping() -> None:
    assert read(b'{"s\\u0079mbol":"AAPL","price":174.5}') == read(MINIMAL)
    assert reason_of(b'{"symbol":"AAPL","price":174.5,"s\\u0079mbol":"AAPL"}') is Reason.DUPLICATE_KEY


@pytest.mark.parametrize("text", ['"174.5"', "1e400", "-0", "[{}]", '{"a":1,"a":2}', '"\\ud800"', '"\u202e"', "9" * 5000])
def test_an_unknown_field_may_have_any_json_value(text: str) -> None:
    assert read(with_field("venue", text)) == read(MINIMAL)


def test_an_unknown_field_must_be_json_and_utf8() -> None:
    assert reason_of(with_field("venue", "nul")) is Reason.NOT_JSON
    assert reason_of(with_field("venue", "[NaN]")) is Reason.NOT_FINITE
    assert reason_of(with_field("venue", '"?"').replace(b"?", b"\xed\xa0\x80")) is Reason.INVALID_UTF8


@pytest.mark.parametrize(
    "inner",
    ["[" * 63 + "]" * 63, '{"a":' * 63 + "0" + "}" * 63, '[{"a":' * 31 + "[]" + "}]" * 31],
    ids=["arrays", "objects", "both"],
)
def test_64_levels_are_allowed_and_65_are_not(inner: str) -> None:
    assert reason_of(with_field("deep", inner)) is None
    assert reason_of(with_field("deep", f"[{inner}]")) is Reason.TOO_DEEP


def test_brackets_inside_strings_do_not_count_as_levels() -> None:
    assert reason_of(with_field("note", '"' + "[{" * 1000 + '\\"' + "[" * 100 + '"')) is None
    assert reason_of(with_field("note", '"\\"",' + '"deep":' + "[" * 64 + "]" * 64)) is Reason.TOO_DEEP


def test_many_shallow_brackets_are_not_deep() -> None:
    assert reason_of(with_field("wide", "[" + "[]," * 1000 + "{}]")) is None


@pytest.mark.parametrize("value", [b"[" * 50_000, b'{"a":' * 13_000, with_field("deep", "[" * 50_000)])
def test_the_deepest_nesting_is_refused_without_recursion(value: bytes) -> None:
    assert reason_of(value) is Reason.TOO_DEEP


def test_the_length_is_checked_first() -> None:
    assert reason_of(MINIMAL.ljust(MAX_VALUE_BYTES)) is None
    assert reason_of(MINIMAL.ljust(MAX_VALUE_BYTES + 1)) is Reason.TOO_LONG
    assert reason_of(memoryview(b"\xff" * 2**20)) is Reason.TOO_LONG


def test_a_value_may_be_any_bytes_like_object() -> None:
    assert read(memoryview(MINIMAL)) == read(bytearray(MINIMAL)) == read(MINIMAL)
    assert reason_of(memoryview(b"")) is Reason.EMPTY
    assert reason_of(None) is Reason.TOMBSTONE


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"[" * 65 + b"\xff", Reason.INVALID_UTF8),
        (b"NaN" + b"[" * 65, Reason.TOO_DEEP),
        (b'{"a":NaN,}', Reason.NOT_FINITE),
        (b'{"a":,NaN}', Reason.NOT_JSON),
        (b'{"a":1,"a":NaN}', Reason.NOT_FINITE),
        (b'{"a":1,"a":2}x', Reason.TRAILING_CONTENT),
        (b"[] x", Reason.NOT_JSON),
        (b'{"symbol":1,"symbol":1}', Reason.DUPLICATE_KEY),
        (b'{"price":"1","symbol":null}', Reason.SYMBOL_MISSING),
        (b'{"source":7,"size":-1,"symbol":"AAPL"}', Reason.PRICE_MISSING),
        (b'{"source":7,"seq":-1,"ts_event":-1,"size":-1,"price":1,"symbol":"A"}', Reason.SIZE_RANGE),
        (b'{"source":7,"seq":-1,"ts_event":-1,"price":1,"symbol":"A"}', Reason.TS_EVENT_RANGE),
        (b'{"source":7,"seq":-1,"price":1,"symbol":"A"}', Reason.SEQ_RANGE),
        (b"{}", Reason.SYMBOL_MISSING),
    ],
)
def test_of_several_violations_the_first_reason_in_order_is_returned(value: bytes, reason: Reason) -> None:
    assert reason_of(value) is reason


@settings(deadline=None, max_examples=2000)
@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(str.encode)
    | st.text('{}[]":,\\ue1-.nulNaN', max_size=60).map(str.encode)
)
def test_any_bytes_give_a_tick_or_a_reason(value: bytes) -> None:
    reason_of(value)
