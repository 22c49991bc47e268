"""The commit record: what is written into the log comes back, and nothing else passes for one."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_kafka.offsets import OffsetRange
from finance_storage.commit_metadata import CommitMetadata, Total, decode_metadata

RECORD = CommitMetadata(
    contract=1,
    offsets={0: OffsetRange(10, 15), 1: OffsetRange(0, 0)},
    rows={0: 5},
    digest="00000000000000ab",
    position={0: 15, 1: 0},
    total=Total(20, "00000000000000cd", 1),
    redrives=2,
    lake="ef26f982-2f7f-4d6c-af12-36854e11262a",
    epoch=4,
    sequence=3,
)
OLD = (
    '{"contract":1,"query":"ef26f982-2f7f-4d6c-af12-36854e11262a","batch":3,'
    '"offsets":{"0":[10,15],"1":[0,0]},"rows":{"0":5},"digest":"00000000000000ab",'
    '"position":{"0":15,"1":0},"total":{"rows":20,"digest":"00000000000000cd","holes":1},"redrives":2}'
)
offsets = st.integers(0, 2**63 - 1)
digests = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
records = st.builds(
    CommitMetadata,
    contract=st.integers(1, 9),
    offsets=st.dictionaries(st.integers(0, 999), st.builds(OffsetRange, offsets, offsets)),
    rows=st.dictionaries(st.integers(0, 999), offsets),
    digest=digests,
    position=st.dictionaries(st.integers(0, 999), offsets),
    total=st.builds(Total, offsets, digests, offsets),
    redrives=offsets,
    lake=st.uuids().map(str),
    epoch=offsets,
    sequence=offsets,
    redriven=st.dictionaries(st.integers(0, 999), st.lists(st.builds(OffsetRange, offsets, offsets), min_size=1)),
)


@settings(deadline=None)
@given(records)
def test_a_record_comes_back_as_it_was(record: CommitMetadata) -> None:
    assert decode_metadata(record.encode()) == record


def test_a_record_is_the_json_that_older_commits_hold() -> None:
    assert RECORD.encode() == (
        '{"contract":1,'
        '"offsets":{"0":[10,15],"1":[0,0]},"rows":{"0":5},"digest":"00000000000000ab",'
        '"position":{"0":15,"1":0},"total":{"rows":20,"digest":"00000000000000cd","holes":1},"redrives":2,'
        '"lake":"ef26f982-2f7f-4d6c-af12-36854e11262a","epoch":4,"sequence":3}'
    )


def test_a_record_of_version_0_1_is_read_without_lake_epoch_and_sequence() -> None:
    assert decode_metadata(OLD) == msgspec.structs.replace(RECORD, lake="", epoch=0, sequence=0)


def test_a_range_counts_its_offsets() -> None:
    assert OffsetRange(10, 15).count == 5


@pytest.mark.parametrize("field", sorted({*CommitMetadata.__struct_fields__} - {"lake", "epoch", "sequence", "redriven"}))
def test_a_record_that_lacks_a_field_is_none(field: str) -> None:
    fields = json.loads(RECORD.encode())
    del fields[field]
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(json.dumps(fields))


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"OPTIMIZE"', '{"batch": 3}'])
def test_other_json_is_no_record(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(text)


@pytest.mark.parametrize(
    ("field", "value"), [("sequence", "3"), ("rows", {"x": 1}), ("offsets", {"0": [1]}), ("digest", 7), ("offsets", [])]
)
def test_a_record_with_a_field_of_another_type_is_none(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(json.dumps({**json.loads(RECORD.encode()), field: value}))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert decode_metadata(json.dumps({**json.loads(RECORD.encode()), "comment": "new"})) == RECORD


@pytest.mark.parametrize("text", ["", "written by hand", RECORD.encode()[:-1]])
def test_text_that_is_no_json_is_no_record(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_metadata(text)


def test_a_record_does_not_change() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        RECORD.sequence = 4  # type: ignore[misc]
