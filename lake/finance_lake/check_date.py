"""Check the copy of one day of ticks against the manifest with which the lake sealed it: no lake, no log and no broker needed.

    python check_date.py date=2026-11-26 [--manifest FILE]

This page needs Python 3.11 and pyarrow, and nothing else of FinanceLake. Exit codes: 0 the folder holds exactly the sealed
ticks, 11 ticks are missing, 12 ticks are there more than once, 13 something is damaged or was changed, 2 wrong usage. If
several apply: the first of 13, 11, 12.

A manifest has the digest of each Kafka partition's ticks: the sum of a 64-bit hash of each tick, modulo 2^64. A sum does not
depend on order or files, so it also holds for other files with the same ticks. Changed, missing or doubled ticks have another
sum, except with a chance of 2^-64. It finds accidents. Anyone who may write both files and manifest can fake both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable

PROVEN, USAGE, GAP, DUPLICATE, CORRUPT = 0, 2, 11, 12, 13
NAMES = {PROVEN: "proven", GAP: "gap", DUPLICATE: "duplicate", CORRUPT: "corrupt"}
PRECEDENCE = (USAGE, CORRUPT, GAP, DUPLICATE, PROVEN)
ROWS_AT_ONCE = 1 << 18
INT64_DIGITS = 18
# Columns of every data file. `ingested_at` is not of the record; any other column counts only where it is not null.
ALWAYS = {"symbol", "price", "size", "ts_event", "ts_event_nanos", "seq", "source"}
ALWAYS |= {"kafka_partition", "kafka_offset", "kafka_timestamp"}
UNCOUNTED = {"ingested_at", "date"}
TEXTS = ["symbol", "source"]  # of few different values: each is hashed once
NULL = 0x9E3779B97F4A7C15

Findings = list[tuple[int, str]]


class CheckResult(NamedTuple):
    """What a check has found: an exit code, the number of ticks that were read, and sentences; the last is the verdict."""

    code: int
    rows: int
    sentences: list[str]


class Part(NamedTuple):
    """The ticks of one Kafka partition in one file or in all: how many, the sum of their hashes, and their offsets."""

    rows: int
    digest: int
    first: int
    last: int


def check(folder: Path, manifest: Path | None = None) -> CheckResult:
    """Compare the data files in a folder with a manifest: `manifest`, or the one that `find_manifest` finds."""
    try:
        sealed = read_manifest(manifest or find_manifest(folder))
        if folder.name.startswith("date=") and folder.name != f"date={sealed['date']}":
            return CheckResult(USAGE, 0, [f"The manifest is of {sealed['date']}, the folder is {folder.name!a}."])
        files = sorted(path for path in folder.iterdir() if path.suffix == ".parquet" and path.name[0] not in "._")
    except FileNotFoundError as error:
        return CheckResult(USAGE, 0, [f"{error.filename!a} does not exist." if error.filename else f"{error}."])
    except (OSError, ValueError) as error:
        return CheckResult(CORRUPT, 0, [f"{error}."])
    sha256 = {file["name"]: file["sha256"] for file in sealed["files"]}
    with ThreadPoolExecutor() as threads:
        read = list(threads.map(lambda path: read_file(path, sha256.get(path.name)), files))
    parts = total(by_number for _, by_number in read)
    findings = [finding for damage, _ in read for finding in damage]
    findings += differences({int(number): part for number, part in sealed["partitions"].items()}, parts, files)
    if not sealed["complete"]:
        findings.append((GAP, f"The day was not complete when it was sealed: {sealed['verdict']}."))
    code = min((code for code, _ in findings), key=PRECEDENCE.index, default=PROVEN)
    rows = sum(part.rows for part in parts.values())
    what = f"{NAMES[code]}: {rows:,} ticks in {len(files)} files, against revision {sealed['revision']} of {sealed['date']}"
    notes = renamed(set(sha256), {path.name for path in files}, code)
    return CheckResult(code, rows, [*(sentence for _, sentence in findings), *notes, f"{what} with {sealed['rows']:,} ticks."])


def find_manifest(folder: Path) -> Path:
    """Return the newest manifest of a day: in its folder, beside it, or in the lake that the folder is a part of."""
    date = folder.name.removeprefix("date=")
    for place in (folder, folder.parent, folder.parent / date, *(up / "seals" / date for up in folder.absolute().parents[:2])):
        if manifests := [path for path in place.glob("*.json") if re.fullmatch("[1-9][0-9]*", path.stem)]:
            return max(manifests, key=lambda path: int(path.stem))
    message = f"There is no manifest in {str(folder)!a} or beside it: copy the newest of data/seals/{date}, or name it"
    raise FileNotFoundError(message)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest. Raises ValueError if its checksum is not right."""
    try:
        sealed = json.loads(path.read_bytes())
        text = json.dumps({**sealed, "checksum": ""}, sort_keys=True)
        is_whole = sealed["checksum"] == hashlib.sha256(text.encode()).hexdigest()
    except (ValueError, TypeError, KeyError, RecursionError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"{str(path)!a} is not a manifest, or is damaged: its checksum is not right")
    if sealed["format"] != 1:
        raise ValueError(f"{str(path)!a} has format {sealed['format']}: this version knows format 1")
    return dict(sealed)


def read_file(path: Path, sha256: str | None) -> tuple[Findings, dict[int, Part]]:
    """Return what is damaged in a file, and its ticks by partition. `sha256` is None for a file that the manifest lacks."""
    findings: Findings = []
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return [(CORRUPT, f"{path.name!a} is a link or something else, not a file.")], {}
        with path.open("rb") as file:
            if sha256 not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
                findings.append((CORRUPT, f"{path.name!a} is not the file that was sealed: it has another SHA-256."))
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=TEXTS) as parquet:
            parts = total(by_partition(rows) for rows in parquet.iter_batches(ROWS_AT_ONCE, use_threads=False))
            if sum(part.rows for part in parts.values()) != parquet.metadata.num_rows:
                findings.append((CORRUPT, f"{path.name!a} does not yield all of its rows."))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        return [*findings, (CORRUPT, f"{path.name!a} cannot be read: {str(error).splitlines()[0]}.")], {}
    return findings, parts


def by_partition(rows: pa.RecordBatch) -> dict[int, Part]:
    """Sum up ticks by Kafka partition."""
    columns = {"partition": rows.column("kafka_partition"), "offset": rows.column("kafka_offset"), "digest": digests(rows)}
    groups = pa.table(columns).group_by("partition", use_threads=False)
    sums = groups.aggregate([("offset", "count"), ("digest", "sum"), ("offset", "min"), ("offset", "max")])
    names = ("offset_count", "digest_sum", "offset_min", "offset_max")
    return {row["partition"]: Part(*(row[name] for name in names)) for row in sums.to_pylist()}


def digests(rows: pa.RecordBatch) -> pa.Array:
    """Hash each tick: multiply each column's word by an odd constant, add the products, and mix the bits (SplitMix64)."""
    combined = unsigned(0)
    for name in set(rows.schema.names) - UNCOUNTED:
        column = words(rows.column(name))
        column = column if name in ALWAYS else pc.subtract(column, unsigned(NULL))
        combined = pc.add(combined, pc.multiply(column, unsigned(hashed(name.encode()) | 1)))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        combined = pc.multiply(pc.bit_wise_xor(combined, pc.shift_right(combined, unsigned(shift))), unsigned(factor))
    return pc.bit_wise_xor(combined, pc.shift_right(combined, unsigned(31)))


def words(column: pa.Array) -> pa.Array:
    """Return a column as 64-bit words: integers, microseconds, units of a price's last decimal, or the hash of a text."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        whole = column.cast(pa.timestamp("us", kind.tz)) if pa.types.is_timestamp(kind) else column
        values = whole.cast(pa.int64()).view(pa.uint64())
    elif pa.types.is_decimal128(kind) and kind.precision <= INT64_DIGITS:  # the low one of two words holds all of it
        both = pa.Array.from_buffers(pa.uint64(), 2 * (column.offset + len(column)), [None, column.buffers()[1]])
        values = pc.list_element(pa.FixedSizeListArray.from_arrays(both[2 * column.offset :], 2), 0)
    elif "string" in str(kind) or "binary" in str(kind):
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values = pa.array(map(hashed, encoded.dictionary.cast(pa.binary()).to_pylist()), pa.uint64()).take(encoded.indices)
    else:
        values = pa.array([hashed(repr(value).encode()) for value in column.to_pylist()], pa.uint64())
    return pc.if_else(column.is_null(), unsigned(NULL), values) if column.null_count else values


@lru_cache(1 << 16)
def hashed(value: bytes) -> int:
    """Hash a text to 64 bits."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def unsigned(number: int) -> pa.Scalar:
    """Return a 64-bit word. Arrow's arithmetic with words is modulo 2^64."""
    return pa.scalar(number, pa.uint64())


def total(summed: Iterable[dict[int, Part]]) -> dict[int, Part]:
    """Sum up partitions over batches or files."""
    parts: dict[int, Part] = {}
    for number, part in (entry for each in summed for entry in each.items()):
        old = parts.get(number, Part(0, 0, part.first, part.last))
        digest = (old.digest + part.digest) % 2**64
        parts[number] = Part(old.rows + part.rows, digest, min(old.first, part.first), max(old.last, part.last))
    return parts


def differences(sealed: dict[int, dict[str, Any]], parts: dict[int, Part], files: list[Path]) -> Findings:
    """Return how the ticks that were read differ from the sealed ones."""
    findings: Findings = []
    for number in sorted({*sealed, *parts}):
        expected = sealed.get(number, {"ticks": 0, "digest": f"{0:016x}", "first": 0, "end": 0})
        part = parts.get(number, Part(0, 0, 0, 0))
        if (part.rows, f"{part.digest:016x}") != (expected["ticks"], expected["digest"]):
            findings += explained(number, expected["ticks"], files)
        elif part.rows and not expected["first"] <= part.first <= part.last < expected["end"]:
            findings.append((CORRUPT, f"Partition {number}: the manifest's range of offsets is not that of its ticks."))
    return findings


def explained(number: int, ticks: int, files: list[Path]) -> Findings:
    """Count the offsets of a partition one by one, because its ticks are not the sealed ones. Returns at least one finding."""
    columns = []
    for path in files:
        with suppress(OSError, pa.ArrowException, ValueError, KeyError), pq.ParquetFile(path) as parquet:
            rows = parquet.read(["kafka_partition", "kafka_offset"])
            is_of = pc.equal(rows.column("kafka_partition"), number)
            columns.append(rows.column("kafka_offset").filter(is_of).cast(pa.int64()).combine_chunks())
    counts = pa.table(pa.concat_arrays([pa.array([], pa.int64()), *columns]).value_counts().flatten(), ["offset", "times"])
    findings: Findings = []
    if (missing := ticks - counts.num_rows) > 0:
        findings.append((GAP, f"Partition {number}: {missing:,} of {ticks:,} ticks are missing, or in damaged files."))
    if missing < 0:
        findings.append((CORRUPT, f"Partition {number}: {-missing:,} ticks are not among those that were sealed."))
    if (doubled := counts.filter(pc.field("times") > 1)).num_rows:
        first = pc.min(doubled.column("offset"))
        findings.append(
            (DUPLICATE, f"Partition {number}: {doubled.num_rows:,} ticks are there twice, the first at offset {first}.")
        )
    changed = (CORRUPT, f"Partition {number}: the ticks are not those that were sealed; their values or offsets were changed.")
    return findings or [changed]


def renamed(sealed: set[str], files: set[str], code: int) -> list[str]:
    """Say what it means that the files are not those that were sealed, if it is no fault or a likely one."""
    if code == DUPLICATE and files > sealed:
        return ["Besides all sealed files there are others: a lake's folder keeps files that were replaced for a week."]
    if code != PROVEN or sealed == files:
        return []
    return [f"{len(sealed - files)} of {len(sealed)} sealed files were replaced: the digests show the same ticks in others."]


def main() -> int:
    """Check the folder that the command line names."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="the copied folder, such as date=2026-11-26")
    parser.add_argument("--manifest", type=Path, help="default: the newest revision in the folder or beside it")
    arguments = parser.parse_args()
    result = check(arguments.folder, arguments.manifest)
    print(*result.sentences, sep="\n")
    return result.code


if __name__ == "__main__":
    sys.exit(main())
