"""`financelake backup`: the copy is a lake as of one moment, whole or not there, and the job continues from it."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import resource
import shutil
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from typer.testing import CliRunner

from finance_job.guard import StartupRefusedError, open_lake
from finance_job.maintenance.compaction import Maintenance
from finance_job.writer import Writer
from finance_kafka.describe import TopicDescription
from finance_kafka.offsets import OffsetRange
from finance_lake import backup_content
from finance_lake.backup import backup
from finance_lake.backup_folder import BackupFolder
from finance_lake.cli import app
from finance_lake.lake import Lake
from finance_storage.delta_table import newest_metadata
from finance_storage.derived_tables import PROPERTY, transaction_id
from finance_storage.errors import UnreadableError
from finance_storage.ledger import LedgerWriter, ledger_file
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.beside import beside
from tests.support.days import FIRST_DAY, LOG, Days, after_midnight, date_of
from tests.support.lakes import BAD, GOOD, LAKE, TOPIC, BuiltLake, numbered, three_batches
from tests.support.nasty_paths import NASTY, REFUSED
from tests.support.tampering import flip_bit, write_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from typer.testing import Result

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").glob("lake-*.tar.xz"))


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    return three_batches(tmp_path / "data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def run(lake: BuiltLake, target: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["backup", str(target), "--data", str(lake.paths.root), *options])


def verdict(root: Path) -> Code:
    return verify(LakePaths(root), VerifyContext(TOPIC, ask=None)).code


def refused(lake: BuiltLake, target: Path) -> str:
    """Return why nothing is backed up to `target`, which stays as it is."""
    before = content(target.parent)
    result = run(lake, target)
    assert result.exit_code == 2, result.output
    assert content(target.parent) == before
    return " ".join(result.stderr.split())


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(root: Path, as_of: int | None = None) -> list[dict[str, object]]:
    with Lake(root) as opened:
        ticks = opened.ticks(as_of=as_of).arrow.sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])
        found: list[dict[str, object]] = ticks.to_pylist()
        return found


# ---- what it contains ---------------------------------------------------------------------------------------------------


def test_a_backup_is_the_same_lake(lake: BuiltLake, target: Path) -> None:
    result = run(lake, target)
    assert result.exit_code == 0, result.output
    assert "16 ticks and 3 quarantined records up to 0:16,1:3, as of " in result.stdout
    assert "12 copied" in result.stdout
    assert "docs/OPERATE.md" in result.stderr
    assert rows(target) == rows(lake.paths.root)
    assert [rows(target, version) for version in range(4)] == [rows(lake.paths.root, version) for version in range(4)]
    assert verdict(target) == Code.COMPLETE
    note = json.loads((target / "backup.json").read_text())
    assert (note["lake"], note["position"], note["versions"]) == (
        LAKE,
        {"0": 16, "1": 3},
        {"finance_delta": 3, "finance_quarantine": 2},
    )
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []


def test_programs_read_its_note(lake: BuiltLake, target: Path) -> None:
    done = json.loads(run(lake, target, "--json").stdout)
    assert done["note"] == json.loads((target / "backup.json").read_text())
    assert (done["copied"], done["note"]["files"]) == (12, 12)


def test_a_second_backup_copies_only_what_is_new(lake: BuiltLake, target: Path) -> None:
    backup(lake.paths, target)
    before = {path.relative_to(target): path.stat().st_ino for path in target.rglob("*.parquet")}
    lake.store([GOOD, BAD])
    done = backup(lake.paths, target)
    assert (done.copied, done.note.files) == (4, 16)
    after = {path.relative_to(target): path.stat().st_ino for path in target.rglob("*.parquet")}
    assert before.items() <= after.items()
    assert verdict(target) == Code.COMPLETE
    assert len(rows(target)) == 17


def test_a_disk_without_hard_links_gets_copies(lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup(lake.paths, target)
    monkeypatch.setattr(os, "link", _refuse_link)
    assert backup(lake.paths, target).copied == 12
    assert verdict(target) == Code.COMPLETE


def _refuse_link(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_files_keep_times_and_modes_and_nobody_else_may_read_them(lake: BuiltLake, target: Path) -> None:
    lake.paths.root.chmod(0o750)
    for path in lake.files(TICKS):
        path.chmod(0o640)
    backup(lake.paths, target)
    assert target.stat().st_mode & 0o777 == 0o750
    for path in lake.files(TICKS):
        copy = target / path.relative_to(lake.paths.root)
        assert (copy.stat().st_mtime_ns, copy.stat().st_mode) == (path.stat().st_mtime_ns, path.stat().st_mode)


def test_files_that_maintenance_has_replaced_are_there_for_earlier_versions(lake: BuiltLake, target: Path) -> None:
    days = Days(lake)
    for _ in range(3):
        days.arrive([GOOD], 0)
    replaced = lake.files(TICKS)
    before = DeltaTable(str(lake.paths.ticks)).version()
    Maintenance(lake.paths, lake.writer, days.between_batches, LOG, lambda: date_of(1)).all()
    assert len(lake.files(TICKS)) < len(replaced)
    backup(lake.paths, target)
    assert rows(target, before) == rows(lake.paths.root, before)
    replaced[0].unlink()  # as VACUUM does after a week
    backup(lake.paths, target)
    assert not (target / replaced[0].relative_to(lake.paths.root)).exists()
    assert verdict(target) == Code.COMPLETE


def test_ledgers_manifests_and_derived_tables_are_there(tmp_path: Path, target: Path) -> None:
    days = Days(BuiltLake(tmp_path / "data"))
    days.arrive(numbered(3), 0)
    days.seal(after_midnight(0))
    paths = days.lake.paths
    ledger = LedgerWriter(ledger_file(paths.root, "sim-1"), {"source": "sim-1", "topic": TOPIC})
    ledger.note([(0, 2)], [])
    _derive(days.lake, DeltaTable(str(paths.ticks)).version())
    done = backup(paths, target)
    ledger.close()
    assert done.note.versions["finance_bars_1m"] == 1
    assert DeltaTable(str(target / "finance_bars_1m")).to_pyarrow_table().num_rows == 1
    assert (target / "ledger" / "sim-1.jsonl").exists()
    sealed = CliRunner().invoke(app, ["seal", "--date", str(FIRST_DAY), "--data", str(target)])
    assert sealed.exit_code == 0, sealed.output
    again = backup(paths, target)
    assert again.copied == 1  # the ledger
    assert (target / "ledger" / "sim-1.jsonl").read_bytes() == ledger_file(paths.root, "sim-1").read_bytes()


def _derive(lake: BuiltLake, as_of: int) -> None:
    bars = pa.table({"symbol": ["AAPL"]})
    folder = str(lake.paths.derived("bars_1m"))
    table = DeltaTable.create(folder, bars.schema, configuration={PROPERTY: LAKE}, raise_if_key_not_exists=False)
    transaction = CommitProperties(app_transactions=[Transaction(transaction_id(LAKE, "bars_1m"), as_of)])
    write_deltalake(table, bars, mode="append", commit_properties=transaction)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_a_lake_of_an_earlier_version_is_backed_up_before_its_upgrade(fixture: Path, tmp_path: Path, target: Path) -> None:
    with tarfile.open(fixture) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    backup(LakePaths(tmp_path / "data"), target)
    assert verdict(target) == Code.COMPLETE
    assert rows(target) == rows(tmp_path / "data")
    assert not (target / "kafka").exists()


# ---- while the job runs -------------------------------------------------------------------------------------------------


def _committing(lake: BuiltLake) -> AbstractContextManager[None]:
    """Store batches in another thread until the end of the block."""
    firsts = itertools.count(15, 5)

    def commit() -> None:
        first = next(firsts)
        lake.store([*numbered(5, first=first), BAD], partition=first % 2)

    return beside(commit, 0.02)


def test_backups_made_while_the_job_commits_are_each_of_one_moment(lake: BuiltLake, target: Path) -> None:
    notes = []
    with _committing(lake):
        for _ in range(4):
            notes.append(backup(lake.paths, target).note)
            assert verdict(target) == Code.COMPLETE
            ticks, quarantine = (
                newest_metadata(DeltaTable(str(target / name)), target / name)
                for name in ("finance_delta", "finance_quarantine")
            )
            assert ticks is not None
            assert quarantine is not None
            assert all(offset <= ticks.position[partition] for partition, offset in quarantine.position.items())
            assert ticks.position == notes[-1].position
    taken = [sum(note.position.values()) for note in notes]
    assert taken == sorted(taken)
    assert taken[0] < taken[-1]
    for note in notes:
        assert note.ticks + note.quarantined == sum(note.position.values())


def test_it_waits_until_a_batch_is_in_both_tables(lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_content, "MAX_POLLS", 10_000)
    files = lake.write([GOOD, BAD, GOOD], 0, lake.plan(3))
    lake.commit(QUARANTINE, files)
    later = threading.Timer(0.5, lake.commit, [TICKS, files])
    later.start()
    note = backup(lake.paths, target).note
    later.join()
    assert (note.position[0], note.quarantined) == (19, 4)


def test_a_batch_that_only_the_quarantine_has_is_completed_by_the_job(
    lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_content, "MAX_POLLS", 3)
    lake.commit(QUARANTINE, lake.write([GOOD, BAD, GOOD], 0, lake.plan(3)))
    note = backup(lake.paths, target).note
    assert (note.position[0], note.quarantined) == (16, 3)
    assert open_lake(LakePaths(target), TOPIC, lake.broker) == lake.identity
    assert Writer(LakePaths(target), lake.identity).half_committed() == {0: OffsetRange(16, 19)}


def test_a_log_that_is_cleaned_up_meanwhile_has_no_hole(lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DeltaTable(str(lake.paths.ticks)).create_checkpoint()
    for _ in range(2):
        lake.store([GOOD])
    log, add = lake.paths.ticks / "_delta_log", BackupFolder.add

    def clean_up_before_the_third(folder: BackupFolder, name: str) -> None:
        if name.endswith(f"{3:020d}.json"):
            for version in (1, 3):
                (log / f"{version:020d}.json").unlink(missing_ok=True)
        add(folder, name)

    monkeypatch.setattr(BackupFolder, "add", clean_up_before_the_third)
    backup(lake.paths, target)
    log = target / "finance_delta" / "_delta_log"
    assert sorted(path.name for path in log.glob("0*")) == [f"{3:020d}.checkpoint.parquet", f"{4:020d}.json", f"{5:020d}.json"]
    assert verdict(target) == Code.COMPLETE


# ---- restoring it -------------------------------------------------------------------------------------------------------


def test_the_job_continues_from_a_restored_backup(lake: BuiltLake, target: Path, tmp_path: Path) -> None:
    note = backup(lake.paths, target).note
    lake.store([GOOD, BAD] * 3)
    shutil.copytree(target, tmp_path / "restored")
    restored = LakePaths(tmp_path / "restored")
    assert open_lake(restored, TOPIC, lake.broker) == lake.identity
    writer = Writer(restored, lake.identity)
    assert {partition: writer.start(partition) for partition in note.position} == note.position


def test_a_topic_that_no_longer_has_what_came_after_the_backup_is_refused(lake: BuiltLake, target: Path) -> None:
    backup(lake.paths, target)
    lake.store(numbered(5, first=15))
    expired = TopicDescription("the-cluster", "the-topic", {0: 18, 1: 0}, dict(lake.ends))
    with pytest.raises(StartupRefusedError, match="Kafka has removed offsets 16 to 17 of partition 0"):
        open_lake(LakePaths(target), TOPIC, expired)


# ---- where it may be ----------------------------------------------------------------------------------------------------


def test_a_backup_inside_of_the_lake_or_around_it_is_refused(lake: BuiltLake, tmp_path: Path) -> None:
    assert "is inside of the lake" in refused(lake, lake.paths.root)
    assert "is inside of the lake" in refused(lake, lake.paths.root / "backup")
    assert "contains the lake" in refused(lake, tmp_path)
    (tmp_path / "link").symlink_to(lake.paths.root)
    assert "is inside of the lake" in refused(lake, tmp_path / "link" / "backup")


def test_what_is_no_backup_of_this_lake_is_left_as_it_is(lake: BuiltLake, target: Path, tmp_path: Path) -> None:
    other = three_batches(tmp_path / "other")
    assert "is a lake, and no backup: it is left as it is" in refused(lake, other.paths.root)
    (tmp_path / "file").write_text("precious")
    assert "is no backup" in refused(lake, tmp_path / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("precious")
    assert "is no backup" in refused(lake, tmp_path / "folder")
    assert "is not there: create the folder, or mount its disk" in refused(lake, tmp_path / "not" / "there")
    at_a_mount = run(lake, Path("/proc"))
    assert (at_a_mount.exit_code, "is where a disk is mounted" in at_a_mount.stderr) == (2, True)

    backup(lake.paths, target)
    (target / "kafka").mkdir()  # a restored lake that was started
    assert "has 'kafka', which no backup has: it would be lost" in refused(lake, target)
    (target / "kafka").rmdir()
    note = target / "backup.json"
    was = note.read_text()
    note.write_text(was.replace(LAKE, "22222222-2222-3333-4444-555555555555"))
    assert "is the backup of another lake" in refused(lake, target)
    note.write_text(was.replace('"0": 16', '"0": 17'))
    assert "is ahead of the lake, which was restored from an older one" in refused(lake, target)
    note.write_text("{")
    assert "is damaged" in refused(lake, target)
    note.write_text(was)
    verify_it = ["verify", "--no-broker", "--data", str(target)]
    assert CliRunner().invoke(app, verify_it, env={"KAFKA_TOPIC": TOPIC}).exit_code == 0
    assert (target / "run" / "verdict.json").exists()
    assert run(lake, target).exit_code == 0
    assert not (target / "run").exists()


def test_an_empty_folder_and_a_link_to_one_may_be_named(lake: BuiltLake, target: Path, tmp_path: Path) -> None:
    target.mkdir()
    backup(lake.paths, target)
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for _ in range(2):
        backup(lake.paths, tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert verdict(tmp_path / "disk") == Code.COMPLETE


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_every_name_is_taken_literally(tmp_path: Path, name: str) -> None:
    lake = three_batches(tmp_path / name / "data")
    backup(lake.paths, tmp_path / name / name)
    assert verdict(tmp_path / name / name) == Code.COMPLETE


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_name_that_deltalake_cannot_open_is_refused(lake: BuiltLake, tmp_path: Path, name: str) -> None:
    result = run(lake, tmp_path / name)
    assert result.exit_code == 2
    assert "choose another folder" in " ".join(result.stderr.replace("│", "").split())


def test_without_a_lake_there_is_nothing_to_back_up(tmp_path: Path, target: Path, lake: BuiltLake) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        result = CliRunner().invoke(app, ["backup", str(target), "--data", str(tmp_path / folder)])
        assert result.exit_code == 2, result.output
        assert "There is no lake at" in result.stderr
    shutil.rmtree(lake.paths.quarantine)
    with pytest.raises(UnreadableError, match="finance_quarantine is missing"):
        backup(lake.paths, target)
    assert not target.exists()


# ---- when it fails ------------------------------------------------------------------------------------------------------


def _fails(lake: BuiltLake, target: Path, code: int) -> str:
    """Return the message of a backup that fails. The earlier one is as it was; there is no trace of the new one."""
    before = content(target.parent / "backup"), names(target.parent)
    result = run(lake, target)
    assert result.exit_code == code, result.output
    assert (content(target.parent / "backup"), names(target.parent)) == before
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_no_half_backup(lake: BuiltLake, target: Path, *, earlier: bool) -> None:
    if earlier:
        backup(lake.paths, target)
        lake.store(numbered(1000, first=15))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a full disk does, it ends a file early with an error
    try:
        message = _fails(lake, target, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"There is no new backup at {target}: finance_" in message
    assert "File too large" in message


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing", "unreadable"])
def test_a_file_that_cannot_be_read_is_named(lake: BuiltLake, target: Path, kind: str) -> None:
    backup(lake.paths, target)
    lake.store(numbered(10, first=15))
    live = lake.files(TICKS)[-1]
    if kind == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads every file")
    live.chmod(0)
    if kind != "unreadable":
        live.unlink()
    if kind == "link":
        live.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(live)
    elif kind == "folder":
        live.mkdir()
    message = _fails(lake, target, 1)
    assert live.name in message
    assert {"link": "a symbolic link", "pipe": "a pipe", "folder": "a folder"}.get(kind, "No such file") in message


def test_a_damaged_file_of_the_lake_is_not_backed_up(lake: BuiltLake, target: Path) -> None:
    backup(lake.paths, target)
    lake.store(numbered(10, first=15))
    flip_bit(lake.files(TICKS)[0])
    assert "The copy is not whole, and no backup was made" in _fails(lake, target, Code.CORRUPT)


def test_damage_to_a_file_that_the_earlier_backup_has_is_found(lake: BuiltLake, target: Path) -> None:
    backup(lake.paths, target)
    kept = target / lake.files(TICKS)[0].relative_to(lake.paths.root)
    times = kept.stat()
    flip_bit(kept)
    os.utime(kept, ns=(times.st_atime_ns, times.st_mtime_ns))
    message = _fails(lake, target, Code.CORRUPT)
    assert "`financelake verify` says whether the lake has it too; if not, back up to another folder" in message


def test_a_damaged_manifest_or_derived_table_is_not_backed_up(tmp_path: Path, target: Path) -> None:
    days = Days(BuiltLake(tmp_path / "data"))
    days.arrive(numbered(3), 0)
    days.seal(after_midnight(0))
    manifest = next(days.lake.paths.seals.rglob("1.json"))
    was = manifest.read_text()
    manifest.write_text(was.replace('"rows": 3', '"rows": 4'))
    assert "The manifest" in _fails(days.lake, target, Code.CORRUPT)
    manifest.write_text(was)
    _derive(days.lake, 1)
    bars = next(days.lake.paths.derived("bars_1m").glob("*.parquet"))
    bars.write_bytes(bars.read_bytes()[:-1])
    assert f"finance_bars_1m/{bars.name} cannot be read" in _fails(days.lake, target, Code.CORRUPT)


def test_a_producers_own_gap_does_not_prevent_a_backup(lake: BuiltLake, target: Path) -> None:
    write_ledger(lake, {"acknowledged": [[0, 14]]})
    lake.store(numbered(1))  # its number is in the table already
    assert verdict(lake.paths.root) == Code.PRODUCER
    assert run(lake, target).exit_code == 0


def test_interrupted_after_any_number_of_files_it_leaves_the_earlier_backup(
    lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(lake.paths, target)
    lake.store([GOOD, BAD])
    before = content(target)
    add = BackupFolder.add
    for most in (0, 1, 7, 15):
        left = iter(range(most))

        def interrupt(folder: BackupFolder, name: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            add(folder, name)

        monkeypatch.setattr(BackupFolder, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            backup(lake.paths, target)
        assert content(target) == before
        assert names(target.parent) == ["backup", "data"]


def test_if_it_cannot_get_its_name_the_earlier_backup_keeps_it(
    lake: BuiltLake, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(lake.paths, target)
    lake.store([GOOD])
    rename = Path.rename

    def fail(path: Path, to: Path) -> Path:
        if path.name == ".backup.part":
            raise OSError(5, "Input/output error")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    assert "Input/output error" in _fails(lake, target, 1)


@pytest.mark.parametrize("renamed", [True, False])
def test_what_a_killed_backup_has_left_is_removed_by_the_next(lake: BuiltLake, target: Path, *, renamed: bool) -> None:
    first = backup(lake.paths, target)
    part, before = (target.with_name(f".backup.{what}") for what in ("part", "before"))
    (part / "finance_delta").mkdir(parents=True)
    (part / "finance_delta" / "junk").write_text("half")
    (part / "link").symlink_to(lake.paths.root)
    if renamed:  # killed between the two renames
        target.rename(before)
    else:
        shutil.copytree(target, before)
    again = backup(lake.paths, target)
    assert (again.copied, again.note.files) == (0, first.note.files)
    assert names(target.parent) == ["backup", "data"]
    assert verdict(lake.paths.root) == verdict(target) == Code.COMPLETE


def test_two_backups_to_one_folder_are_not_made_at_once(lake: BuiltLake, target: Path) -> None:
    part = target.with_name(".backup.part")
    part.mkdir()
    held = os.open(part, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert "Another backup to" in refused(lake, target)
    os.close(held)
    assert run(lake, target).exit_code == 0
