"""Commit metadata: what is written to the log is read back, and nothing else is accepted."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_kafka.offsets import OffsetRange
from finance_storage.commit_metadata import CommitMetadata, Total, decode_metadata

METADATA = CommitMetadata(
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
# Fields that older commits lack.
ADDED = {"lake", "epoch", "sequence", "redriven", "retractions", "retracting", "finalized_until", "driver"}
offsets = st.integers(0, 2**63 - 1)
digests = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
all_metadata = st.builds(
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
    finalized_until=st.none() | st.dates(),
)


@settings(deadline=None)
@given(all_metadata)
def test_metadata_is_read_back_as_written(metadata: CommitMetadata) -> None:
    assert decode_metadata(metadata.encode()) == metadata


def test_metadata_is_the_same_json_as_in_older_commits() -> None:
    assert METADATA.encode() == (
        '{"contract":1,'
        '"offsets":{"0":[10,15],"1":[0,0]},"rows":{"0":5},"digest":"00000000000000ab",'
        '"position":{"0":15,"1":0},"total":{"rows":20,"digest":"00000000000000cd","holes":1},"redrives":2,'
        '"lake":"ef26f982-2f7f-4d6c-af12-36854e11262a","epoch":4,"sequence":3}'
    )


def test_metadata_of_version_0_1_is_read_without_lake_epoch_and_sequence() -> None:
    assert decode_metadata(OLD) == msgspec.structs.replace(METADATA, lake="", epoch=0, sequence=0)


def test_a_range_counts_its_offsets() -> None:
    assert OffsetRange(10, 15).count == 5


@pytest.mark.parametrize("field", sorted({*CommitMetadata.__struct_fields__} - ADDED))
def test_metadata_that_lacks_a_field_is_refused(field: str) -> None:
    fields = json.loads(METADATA.encode())
    del fields[field]
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(json.dumps(fields))


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"OPTIMIZE"', '{"batch": 3}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(text)


@pytest.mark.parametrize(
    ("field", "value"), [("sequence", "3"), ("rows", {"x": 1}), ("offsets", {"0": [1]}), ("digest", 7), ("offsets", [])]
)
def test_metadata_with_a_field_of_another_type_is_refused(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_metadata(json.dumps({**json.loads(METADATA.encode()), field: value}))


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert decode_metadata(json.dumps({**json.loads(METADATA.encode()), "comment": "new"})) == METADATA


@pytest.mark.parametrize("text", ["", "written by hand", METADATA.encode()[:-1]])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_metadata(text)


def test_metadata_is_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        METADATA.sequence = 4  # type: ignore[misc]
