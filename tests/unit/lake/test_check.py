"""`financelake check`: a copy of a sealed day is proven only if it holds exactly the sealed ticks."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from finance_job.maintenance.compaction import Maintenance
from finance_lake import check_date
from finance_lake.check_date import CORRUPT, DUPLICATE, GAP, PROVEN, USAGE, check
from finance_lake.cli import app
from finance_storage import digest
from finance_storage.schemas import TICK_FIELDS
from finance_storage.seals import manifest_file
from tests.support.days import FIRST_DAY, LOG, Days, after_midnight, date_of
from tests.support.lakes import BAD, BuiltLake, numbered
from tests.support.tampering import flip_bit, set_column

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = f"date={FIRST_DAY}"


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """Make a lake with a sealed day of two partitions, four files and a quarantined record."""
    days = Days(BuiltLake(tmp_path / "data", partitions=2))
    for partition in (0, 1, 0, 1):
        days.arrive([*numbered(4, first=10 * partition), BAD, *numbered(2, first=10 * partition + 4)], 0, partition)
    days.seal(after_midnight(0))
    return days


@pytest.fixture
def copy(days: Days, tmp_path: Path) -> Path:
    """Copy the day, with its manifest inside."""
    return copied(days, tmp_path / "copy")


def copied(days: Days, to: Path) -> Path:
    target = to / NAME
    target.mkdir(parents=True)
    for path in days.lake.files("ticks"):
        shutil.copy(path, target)
    shutil.copy(manifest_file(days.lake.paths, FIRST_DAY, days.revisions()[0]), target)
    return target


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table], name: str | None = None) -> None:
    """Replace the first file by one with changed rows; under another name, as maintenance would, if one is given."""
    path = files(folder)[0]
    rows = change(pq.ParquetFile(path).read())
    path.unlink()
    pq.write_table(rows, folder / (name or path.name), write_page_checksum=True)


def test_a_copy_is_proven(copy: Path) -> None:
    result = check(copy)
    assert result.code == PROVEN, result.sentences
    assert result.rows == 24
    assert result.sentences == [f"proven: 24 ticks in 4 files, against revision 1 of {FIRST_DAY} with 24 ticks."]


def test_a_copy_is_proven_after_a_compaction_and_it_says_so(days: Days, tmp_path: Path) -> None:
    Maintenance(days.lake.paths, days.lake.writer, days.between_batches, LOG, lambda: date_of(1)).all()
    result = check(copied(days, tmp_path / "copy"))
    assert result.code == PROVEN, result.sentences
    assert result.sentences[0] == "4 of 4 sealed files were replaced: the digests show the same ticks in others."


@pytest.mark.parametrize("place", ["inside", "beside", "in a folder beside", "in the lake", "named"])
def test_the_manifest_is_found(days: Days, copy: Path, place: str) -> None:
    inside = copy / "1.json"
    if place == "beside":
        inside.rename(copy.parent / "1.json")
    elif place == "in a folder beside":
        (copy.parent / str(FIRST_DAY)).mkdir()
        inside.rename(copy.parent / str(FIRST_DAY) / "1.json")
    elif place == "in the lake":
        copy = days.lake.paths.ticks / NAME
    elif place == "named":
        inside.rename(copy.parent / "any name")
        assert check(copy, copy.parent / "any name").code == PROVEN
        return
    assert check(copy).code == PROVEN


def test_the_newest_revision_counts(days: Days, tmp_path: Path) -> None:
    days.arrive(numbered(3), 0)
    days.seal_again(after_midnight(0, 60))
    folder = copied(days, tmp_path / "copy")
    shutil.copy(manifest_file(days.lake.paths, FIRST_DAY, 1), folder)
    assert check(folder).code == PROVEN
    assert check(folder, folder / "1.json").code == CORRUPT


def change_a_value(rows: pa.Table) -> pa.Table:
    return set_column(rows, "price", [Decimal("1.5"), *rows.column("price").to_pylist()[1:]])


def move_an_offset(rows: pa.Table) -> pa.Table:
    return set_column(rows, "kafka_offset", [4, *rows.column("kafka_offset").to_pylist()[1:]])


def double(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows.slice(2, 1)])


def double_one_and_drop_another(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(1), rows.slice(2, 1)])


# How a copy is damaged; the exit code if the file has its old name, and under another one; and what a sentence says.
CHANGES = {
    "a changed value": (change_a_value, CORRUPT, CORRUPT, "their values or offsets were changed"),
    "a changed offset": (move_an_offset, CORRUPT, CORRUPT, "their values or offsets were changed"),
    "a changed number": (lambda rows: set_column(rows, "seq", [None] * len(rows)), CORRUPT, CORRUPT, "values or offsets"),
    "a doubled row": (double, CORRUPT, DUPLICATE, "ticks are there twice, the first at offset"),
    "a lost row": (lambda rows: rows.slice(1), CORRUPT, GAP, "1 of 12 ticks are missing"),
    "a doubled and a lost row": (double_one_and_drop_another, CORRUPT, GAP, "1 of 12 ticks are missing"),
    "another column": (lambda rows: rows.append_column("x", pa.array([1] * len(rows))), CORRUPT, CORRUPT, "values"),
    "a missing column": (lambda rows: rows.drop_columns(["kafka_offset"]), CORRUPT, CORRUPT, "cannot be read"),
    "no change": (lambda rows: rows, CORRUPT, PROVEN, "SHA-256"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_rows_are_found_in_a_file_of_the_same_name(copy: Path, change: str) -> None:
    function, code, _, what = CHANGES[change]
    rewritten(copy, function)
    result = check(copy)
    assert result.code == code
    assert any(what in sentence for sentence in result.sentences), result.sentences
    assert any("another SHA-256" in sentence for sentence in result.sentences)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_rows_are_found_in_a_file_of_another_name(copy: Path, change: str) -> None:
    function, _, code, what = CHANGES[change]
    rewritten(copy, function, "merged.parquet")
    result = check(copy)
    assert result.code == code, result.sentences
    assert code == PROVEN or any(what in sentence for sentence in result.sentences), result.sentences


def test_a_lost_file_is_a_gap(copy: Path) -> None:
    files(copy)[0].unlink()
    result = check(copy)
    assert result.code == GAP
    assert "6 of 12 ticks are missing" in result.sentences[0]


def test_all_files_lost_is_a_gap(copy: Path) -> None:
    for path in files(copy):
        path.unlink()
    assert check(copy).code == GAP


def test_a_file_twice_is_a_duplicate(copy: Path) -> None:
    shutil.copy(files(copy)[0], copy / "again.parquet")
    result = check(copy)
    assert result.code == DUPLICATE
    assert "6 ticks are there twice, the first at offset" in result.sentences[0]


def test_a_file_of_another_day_is_found(days: Days, copy: Path) -> None:
    days.arrive(numbered(3), 1)
    (other,) = [path for path in days.lake.files("ticks") if path.parent.name != NAME]
    shutil.copy(other, copy)
    result = check(copy)
    assert result.code == CORRUPT
    assert "3 ticks are not among those that were sealed" in result.sentences[0]


def test_a_file_of_another_partition_is_found(copy: Path) -> None:
    rows = pq.ParquetFile(files(copy)[0]).read()
    pq.write_table(set_column(rows, "kafka_partition", [7] * len(rows)), copy / "more.parquet")
    result = check(copy)
    assert result.code == CORRUPT
    assert result.sentences[0] == "Partition 7: 6 ticks are not among those that were sealed."


@pytest.mark.parametrize("name", ["sealed", "replaced"])
def test_a_flipped_byte_is_found(copy: Path, name: str) -> None:
    if name == "replaced":
        rewritten(copy, lambda rows: rows, "merged.parquet")
        flip_bit(copy / "merged.parquet")
    else:
        flip_bit(files(copy)[0])
    assert check(copy).code == CORRUPT


def test_flipped_bytes_are_found_anywhere_in_the_pages_of_a_file_with_another_name(tmp_path: Path) -> None:
    days = Days(BuiltLake(tmp_path / "data"))
    days.arrive(numbered(5000), 0)
    days.seal(after_midnight(0))
    folder = copied(days, tmp_path / "copy")
    path = files(folder)[0].rename(folder / "merged.parquet")
    good = path.read_bytes()
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    places = range(4, footer, footer // 50)
    found = 0
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
        found += check(folder).code == CORRUPT
    # A checksum covers a page, not its header, of which some bytes change no tick.
    assert found > 0.8 * len(places)


@pytest.mark.parametrize("damage", ["a flipped byte", "torn", "empty", "not JSON", "another verdict", "a list", "nested"])
def test_a_damaged_manifest_is_found(copy: Path, damage: str) -> None:
    path = copy / "1.json"
    text = path.read_text()
    contents = {
        "a flipped byte": text.replace('"rows": 24', '"rows": 25'),
        "torn": text[: len(text) // 2],
        "empty": "",
        "not JSON": "day",
        "another verdict": text.replace('"complete": true', '"complete": false'),
        "a list": "[]",
        "nested": "[" * 100_000,
    }
    assert contents[damage] != text
    path.write_text(contents[damage])
    result = check(copy)
    assert result.code == CORRUPT
    assert result.sentences == [f"{str(path)!a} is not a manifest, or is damaged: its checksum is not right."]


def test_a_link_in_the_place_of_a_file_is_not_followed(copy: Path) -> None:
    path = files(copy)[0]
    path.rename(copy.parent / "elsewhere.parquet")
    os.symlink(copy.parent / "elsewhere.parquet", path)  # noqa: PTH211
    result = check(copy)
    assert result.code == CORRUPT
    assert "is a link or something else, not a file" in result.sentences[0]


def test_a_pipe_in_the_place_of_a_file_does_not_block(copy: Path) -> None:
    os.mkfifo(copy / "pipe.parquet")
    assert check(copy).code == CORRUPT


def test_without_a_manifest_nothing_can_be_proven(copy: Path) -> None:
    (copy / "1.json").unlink()
    result = check(copy)
    assert result.code == USAGE
    assert result.sentences[0].startswith("There is no manifest in")


def test_wrong_usage_is_a_sentence(copy: Path) -> None:
    for folder, manifest in ((copy.parent / "missing", copy / "1.json"), (copy, copy / "2.json")):
        result = check(folder, manifest)
        assert (result.code, len(result.sentences)) == (USAGE, 1)
        assert result.sentences[0].endswith("does not exist.")


def test_a_manifest_of_another_day_is_refused(copy: Path) -> None:
    result = check(copy.rename(copy.parent / "date=2026-01-01"))
    assert result == (USAGE, 0, [f"The manifest is of {FIRST_DAY}, the folder is 'date=2026-01-01'."])


def test_a_day_that_was_sealed_incomplete_is_a_gap(tmp_path: Path) -> None:
    days = Days(BuiltLake(tmp_path / "data"))
    days.arrive(numbered(3), 0)
    days.lake.plan(2)
    days.lake.commit("ticks", [])
    days.arrive(numbered(3, first=3), 0)
    days.seal(after_midnight(0))
    result = check(copied(days, tmp_path / "copy"))
    assert result.code == GAP
    assert "2 offsets are in neither table (partition 0: 3-4)" in result.sentences[0]


def test_a_day_without_ticks_is_proven_by_an_empty_folder(days: Days, tmp_path: Path) -> None:
    days.arrive(numbered(1), 2)
    days.seal(after_midnight(2))
    folder = tmp_path / f"date={date_of(1)}"
    folder.mkdir()
    assert check(folder, manifest_file(days.lake.paths, date_of(1), 1)).code == PROVEN


def test_the_page_runs_alone(copy: Path, tmp_path: Path) -> None:
    """A stranger has the page, Python and pyarrow."""
    page = tmp_path / "alone" / "check_date.py"
    page.parent.mkdir()
    shutil.copy(check_date.__file__, page)
    for expected in (PROVEN, GAP):
        done = subprocess.run([sys.executable, "-I", page, copy], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (expected, "")
        assert done.stdout.splitlines()[-1].startswith("proven" if expected == PROVEN else "gap")
        files(copy)[0].unlink()


def test_the_page_imports_only_the_standard_library_and_pyarrow() -> None:
    tree = ast.parse(Path(check_date.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"pyarrow"}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_the_result(copy: Path, as_json: bool) -> None:  # noqa: FBT001
    files(copy)[0].unlink()
    result = CliRunner().invoke(app, ["check", str(copy), *(["--json"] if as_json else [])])
    assert result.exit_code == GAP
    if as_json:
        assert json.loads(result.stdout) == {"code": GAP, "rows": 18, "sentences": check(copy).sentences}
    else:
        assert result.stdout.splitlines() == check(copy).sentences


MOMENTS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
LONG = st.none() | st.integers(-(2**63), 2**63 - 1)
ROWS = st.fixed_dictionaries(
    {
        "symbol": st.none() | st.text(max_size=5),
        "price": st.none() | st.decimals(-(10**10) + 1, 10**10 - 1, places=8, allow_nan=False),
        "size": LONG,
        "ts_event": MOMENTS,
        "ts_event_nanos": st.none() | st.integers(-(2**15), 2**15 - 1),
        "seq": LONG,
        "source": st.none() | st.text(max_size=5),
        "kafka_partition": st.integers(0, 2**31 - 1),
        "kafka_offset": st.integers(0, 2**63 - 1),
        "kafka_timestamp": MOMENTS,
        "ingested_at": MOMENTS,
    }
)
LATER = st.lists(st.none() | st.integers(0, 9), min_size=20, max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=20), LATER, st.sampled_from(["", "large", "view", "dictionary"]), st.integers(0, 3))
def test_the_page_has_the_digest_of_the_lake(
    rows: list[dict[str, object]], later: list[int | None], other: str, skip: int
) -> None:
    table = pa.Table.from_pylist(rows, TICK_FIELDS).append_column("later", pa.array(later[: len(rows)], pa.int64()))
    table = table.append_column("flag", pa.array([None if number is None else number > 4 for number in later[: len(rows)]]))
    expected = digest.row_digests(table.slice(skip))
    kinds = {"large": pa.large_string(), "view": pa.string_view(), "dictionary": pa.dictionary(pa.int32(), pa.string())}
    if other:
        place = table.schema.names.index("symbol")
        table = table.set_column(place, "symbol", table.column("symbol").cast(kinds[other]))
    batch = table.combine_chunks().to_batches()[0].slice(skip)
    assert check_date.digests(batch).to_numpy().tolist() == expected.tolist()


def test_sums_are_modulo_two_to_the_64th() -> None:
    words = pa.array(np.full(3, 2**64 - 1, np.uint64))
    assert pc.sum(words).as_py() == 2**64 - 3
    grouped = pa.table({"partition": [0, 0, 0], "digest": words}).group_by("partition").aggregate([("digest", "sum")])
    assert grouped.column("digest_sum").to_pylist() == [2**64 - 3]
