"""The detail of a malformed record is short and safe for logs and terminals."""

import pickle

from hypothesis import example, given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Reason, decode


def is_safe(text: str) -> bool:
    return 0 < len(text) <= 200 and all(" " <= character <= "~" for character in text)


def verdict(value: bytes) -> Malformed | None:
    try:
        decode(value)
    except Malformed as malformed:
        return malformed
    return None


@settings(deadline=None, max_examples=500)
@given(st.text(st.characters(), min_size=1, max_size=400))
@example("\ud800\u202e\x1b[31m\r\n\x7f\x85\u2028" * 50)
def test_a_detail_is_short_and_printable_whatever_the_input(text: str) -> None:
    assert is_safe(Malformed(Reason.NOT_JSON, text).detail)


@settings(deadline=None, max_examples=1000)
@given(
    st.binary(max_size=300), st.sampled_from(["%s", '{"symbol":"%s","price":1}', '{"%s":1,"%s":1}', '{"symbol":%s}', "{}%s"])
)
def test_the_detail_of_every_malformed_value_is_short_and_printable(noise: bytes, frame: str) -> None:
    malformed = verdict(frame.replace("%s", noise.decode("latin-1")).encode())
    assert malformed is None or is_safe(malformed.detail)


def test_a_detail_never_grows_with_the_record() -> None:
    malformed = verdict(b'{"symbol":"' + b"\xc3\xa9" * 30_000 + b'","price":1}')
    assert malformed is not None
    assert malformed.detail == "'" + "\\xe9" * 40 + "'"


def test_malformed_can_be_pickled() -> None:
    sent = Malformed(Reason.SYMBOL_INVALID, "a\nb\\" * 60)
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301 (our own bytes)
    assert (received.reason, received.detail, str(received)) == (sent.reason, sent.detail, str(sent))
    assert received.reason is Reason.SYMBOL_INVALID


def test_codes_are_snake_case_and_never_renamed() -> None:
    assert [reason.name.lower() for reason in Reason] == [str(reason) for reason in Reason]
    assert len(Reason) == 26
