"""The JSON Schema and the AsyncAPI document agree with the decoder."""

import json
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator
from ruamel.yaml import YAML

import finance_contract
from finance_contract import MAX_VALUE_BYTES, TOPIC, Malformed, Tick, decode, examples
from finance_contract.tick import COUNTS, EVENT_TIMES_NS

FOLDER = Path(finance_contract.__file__).parent
SCHEMA = json.loads((FOLDER / "schema" / "tick.schema.json").read_text(), parse_float=Decimal)
ASYNCAPI_FILE = FOLDER.parent / "asyncapi.yaml"
ASYNCAPI = YAML(typ="safe").load(ASYNCAPI_FILE)
BEYOND_A_SCHEMA = {
    "tombstone",
    "too_long",
    "empty",
    "invalid_utf8",
    "too_deep",
    "not_finite",
    "not_json",
    "trailing_content",
    "duplicate_key",
}

NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
NEAR_A_LIMIT = st.sampled_from([0, 2**63, 946_684_800 * 10**9, 4_102_444_800 * 10**9, 10**10]).flatmap(
    lambda limit: st.integers(limit - 2, limit + 2).map(str)
)
TEXT = st.one_of(
    st.text("AZaz09.-_/^=:$@#+&*~ \n\x7f\u00e9", max_size=66),
    st.from_regex(r"\A[A-Za-z0-9.^ $]{1,66}\n?\Z"),
    st.text(st.characters(), max_size=5),
).map(json.dumps)
ANY = st.one_of(st.sampled_from(["null", "true", "false", "[]", "{}", "[1]"]), NUMBER, NEAR_A_LIMIT, TEXT)
GOOD = {
    "symbol": '"AAPL"',
    "price": "174.5",
    "size": "100",
    "ts_event": "1764000000000000000",
    "seq": "12",
    "source": '"sim-7"',
}


@st.composite
def records(draw: st.DrawFn) -> str:
    fields = GOOD | draw(st.dictionaries(st.sampled_from([*GOOD, "venue"]), ANY, max_size=2))
    for name in draw(st.sets(st.sampled_from([*GOOD]), max_size=2)):
        fields.pop(name, None)
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"


def is_tick(value: bytes) -> bool:
    try:
        decode(value)
    except Malformed:
        return False
    return True


def fits_schema(value: str | bytes) -> set[bool]:
    instance = json.loads(value, parse_float=Decimal)
    with localcontext(prec=1000):
        return {validator(SCHEMA).is_valid(instance) for validator in (Draft202012Validator, Draft7Validator)}


def test_the_schema_is_valid_in_both_drafts() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft7Validator.check_schema(SCHEMA)


@settings(deadline=None, max_examples=600)
@given(records())
def test_schema_and_decoder_agree_on_every_record(record: str) -> None:
    assert fits_schema(record) == {is_tick(record.encode())}


@pytest.mark.parametrize("value", examples.valid().values(), ids=examples.valid())
def test_the_schema_accepts_every_valid_example(value: bytes) -> None:
    assert fits_schema(value) == {True}


@pytest.mark.parametrize(
    "value", [value for reason, value in examples.malformed().items() if value is not None and reason not in BEYOND_A_SCHEMA]
)
def test_the_schema_refuses_every_malformed_example_within_its_reach(value: bytes) -> None:
    assert fits_schema(value) == {False}


def test_the_schema_names_the_fields_of_a_tick_in_their_order() -> None:
    assert tuple(SCHEMA["properties"]) == Tick.__struct_fields__


@pytest.mark.parametrize(("name", "allowed"), [("size", COUNTS), ("ts_event", EVENT_TIMES_NS), ("seq", COUNTS)])
def test_the_schema_has_the_ranges_of_the_code(name: str, allowed: range) -> None:
    field = SCHEMA["properties"][name]
    assert range(field["minimum"], field["maximum"] + 1) == allowed


def test_asyncapi_refers_to_the_schema_and_its_examples_are_ticks() -> None:
    message = ASYNCAPI["components"]["messages"]["tick"]
    assert (ASYNCAPI_FILE.parent / message["payload"]["schema"]["$ref"]).samefile(FOLDER / "schema" / "tick.schema.json")
    assert all(is_tick(json.dumps(example["payload"]).encode()) for example in message["examples"])


def test_asyncapi_describes_the_topic_as_designed() -> None:
    channel = ASYNCAPI["channels"][TOPIC]
    assert channel["address"] == TOPIC
    assert channel["bindings"]["kafka"]["partitions"] == 4
    configuration: dict[str, Any] = channel["bindings"]["kafka"]["topicConfiguration"]
    assert configuration["retention.ms"] == 7 * 24 * 3_600_000
    assert configuration["message.timestamp.type"] == "LogAppendTime"
    assert configuration["cleanup.policy"] == ["delete"]
    assert configuration["max.message.bytes"] == 1024 * 1024 > MAX_VALUE_BYTES
