"""For every file written below a lake's folder: a link in its place, or above it, is not followed and is named."""

from __future__ import annotations

import ast
import os
import subprocess
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
import pytest
import structlog
from typer.testing import CliRunner

from finance_job.guard import put_old_state_aside
from finance_job.maintenance.compaction import Maintenance
from finance_job.repair import request
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import make_plan
from finance_job.repair.request import RedriveAnswer, ask_job
from finance_job.scratch import Scratch
from finance_job.sealing.day import Day
from finance_job.tables import create_tables
from finance_job.worker_task import WorkerTask
from finance_job.writer import Writer
from finance_lake.cli import app
from finance_local.__main__ import main as make_local
from finance_local.config import Settings
from finance_local.console import Terminal, log_file
from finance_local.preflight import require_usable_folders
from finance_role import beneath
from finance_role.beneath import IrregularError
from finance_role.environment import make_scratch
from finance_role.exit_codes import REFUSED
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_role.lock import hold, hold_or_exit
from finance_storage.ledger import LedgerWriter, ledger_file
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.seals import publish
from finance_verify.verdict import Report, save_verdict
from tests.support.lakes import ARRIVED, BAD, GOOD, RECORDS, TOPIC, BuiltLake, numbered
from tests.unit.test_layout import FOLDERS, ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRECIOUS = "the content of another file\n"
BROKER = ROOT / "kafka" / "broker"
DATE = "date=2026-11-24"


class Written(NamedTuple):
    """A file or folder below a lake, and what writes it. A link at one of the `replaced` paths is removed, not refused."""

    path: str
    write: Callable[[BuiltLake], object]
    replaced: tuple[str, ...] = ()


def _data_files(name: str, lake: BuiltLake) -> None:
    task = WorkerTask({name: lake.paths.table(name)}, 0)
    record = {"key": b"AAPL", "value": GOOD if name == TICKS else BAD, "partition": 0, "offset": 9, "timestamp": ARRIVED}
    assert list(task.files(iter([pa.RecordBatch.from_pylist([record], RECORDS)])))


def _beat(lake: BuiltLake) -> None:
    Heartbeat(heartbeat_file(lake.paths.root, "producer"), 60).beat()


def _beat_again(lake: BuiltLake) -> None:
    heartbeat = object.__new__(Heartbeat)
    heartbeat.__dict__.update(_file=heartbeat_file(lake.paths.root, "spark-job"), _patience_seconds=60, _next=0.0)
    heartbeat.beat()


def _answer(lake: BuiltLake) -> None:
    redrive = request.JobRequest(uuid.UUID(int=1), "all")
    beneath.write_whole(lake.paths.root, lake.paths.root / "run" / "redrive.request", msgspec.json.encode(redrive))
    request.Requests(lake.paths, structlog.get_logger()).serve(lambda _: RedriveAnswer(done=True, sentence="done"))


def _put_aside(lake: BuiltLake) -> None:
    lake.paths.before_tables.write_text("{}")
    put_old_state_aside(lake.paths)


def _put_entry_aside(lake: BuiltLake) -> None:
    entry = max((lake.paths.ticks / "_delta_log").glob("*.json"))
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    Recovery(lake.paths, lambda _: iter(()), plan, lambda _: None)._put_aside_entry(entry)  # noqa: SLF001


def _vacuum(lake: BuiltLake) -> None:
    Maintenance(lake.paths, lake.writer, nullcontext, structlog.get_logger())._vacuum()  # noqa: SLF001


def _seal(lake: BuiltLake) -> None:
    metadata = lake.writer.metadata(TICKS)
    day = Day(ARRIVED.date(), lake.identity, 1).manifest(ARRIVED, metadata.total.holes)
    publish(lake.paths, msgspec.structs.replace(day, revision=1))


def _create(lake: BuiltLake) -> None:
    for table in (lake.paths.ticks, lake.paths.quarantine):
        if table.is_dir() and not table.is_symlink():
            beneath.remove(lake.paths.root, table)
    create_tables(lake.paths, lake.identity)


WRITTEN = [
    Written("run/verdict.json", lambda lake: save_verdict(lake.paths, Report(()), with_broker=False)),
    Written("run/producer.heartbeat", _beat, ("run/producer.heartbeat",)),
    Written("run/spark-job.heartbeat", _beat_again),
    Written("run/local.log", lambda lake: Terminal(log_file(lake.paths.root)).close()),
    Written("run/redrive.request", lambda lake: ask_job(lake.paths, "all", 0)),
    Written(f"run/redrive-{uuid.UUID(int=1)}.answer", _answer),
    Written("run/tmp/spark-job", lambda lake: make_scratch(lake.paths.root, "spark-job"), ("run/tmp/spark-job",)),
    Written("run/tmp", lambda lake: require_usable_folders(Settings(data_dir=lake.paths.root))),
    Written("run/spark/7", lambda lake: Scratch(lake.paths, 7).fresh(), ("run/spark", "run/spark/7")),
    Written("locks/producer.lock", lambda lake: hold(lake.paths.root, "producer").close()),
    Written(
        "ledger/sim-1.jsonl", lambda lake: LedgerWriter(ledger_file(lake.paths.root, "sim-1"), {"source": "sim-1"}).close()
    ),
    Written("aside", _put_aside),
    Written("aside", _put_entry_aside),
    Written(f"finance_delta/{DATE}", lambda lake: _data_files(TICKS, lake)),
    Written("finance_quarantine", lambda lake: _data_files(QUARANTINE, lake)),
    Written("finance_delta/_delta_log", lambda lake: Writer(lake.paths, lake.identity)),
    Written("finance_quarantine/_delta_log", lambda lake: Writer(lake.paths, lake.identity)),
    Written("finance_delta/somewhere", _vacuum),
    Written("seals/2026-11-24/1.json", _seal),
    Written("finance_delta", _create),
    Written("finance_quarantine", _create),
]


def _places(written: Written) -> Iterator[str]:
    """Yield the path, possible temporary names next to it, and each folder above it."""
    path = Path(written.path)
    yield from (written.path, str(path.with_name(f".{path.name}.new")), str(path.with_suffix(".new")))
    yield from (str(parent) for parent in path.parents if parent.name)


CASES = [(written, place) for written in WRITTEN for place in _places(written)]


def _outside(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else "" for path in folder.rglob("*")}


def _plant(lake: BuiltLake, place: str, target: Path) -> None:
    link = lake.paths.root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        beneath.move(lake.paths.root, link, lake.paths.root / "moved away")
    link.symlink_to(target)


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    built = BuiltLake(tmp_path / "data")
    built.store([*numbered(3), BAD, GOOD])
    return built


@pytest.mark.parametrize(("written", "place"), CASES, ids=[f"{written.path}: {place}" for written, place in CASES])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_link_below_a_lake_is_never_followed(
    lake: BuiltLake, tmp_path: Path, written: Written, place: str, kind: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    for precious in (outside / "file", outside / "folder" / "file", outside / "folder" / Path(written.path).name):
        precious.write_text(PRECIOUS)
    before = _outside(outside)
    _plant(lake, place, outside / kind)

    refused = ""
    try:
        written.write(lake)
    except IrregularError as error:
        refused = str(error)

    assert _outside(outside) == before
    is_temporary = place != written.path and not Path(written.path).is_relative_to(place)
    if not is_temporary and place not in written.replaced:
        assert f"{lake.paths.root / place} is a symbolic link" in refused
    if place in written.replaced:
        assert not (lake.paths.root / place).is_symlink()


def test_the_folder_of_a_lake_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "another disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "another disk")
    lake = BuiltLake(tmp_path / "data")
    lake.store([*numbered(3), BAD])
    for written in WRITTEN:
        if written.write not in {_create, _put_entry_aside}:
            written.write(lake)
    assert (tmp_path / "another disk" / "run" / "verdict.json").is_file()


def test_verify_prints_its_verdict_and_why_it_was_not_saved(lake: BuiltLake, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text(PRECIOUS)
    lake.paths.verdict.parent.mkdir()
    lake.paths.verdict.symlink_to(tmp_path / "precious")
    result = CliRunner().invoke(app, ["verify", "--no-broker", "--data", str(lake.paths.root)])
    assert (result.exit_code, result.stdout.splitlines()[-1][:8]) == (1, "complete")
    assert f"The verdict cannot be saved: {lake.paths.verdict} is a symbolic link" in result.stderr
    assert (tmp_path / "precious").read_text() == PRECIOUS


def test_a_role_and_make_local_refuse_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "locks").symlink_to(tmp_path / "outside")
    with pytest.raises(SystemExit) as ended:
        hold_or_exit(tmp_path, "spark-job")
    assert ended.value.code == REFUSED
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert make_local() == REFUSED
    assert capsys.readouterr().err.count(f"{tmp_path / 'locks'} is a symbolic link") == 2
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    ("script", "arguments", "place"),
    [
        ("with-lock", ["kafka", "true"], "locks"),
        ("with-lock", ["kafka", "true"], "locks/kafka.lock"),
        ("run-zookeeper", [], "zookeeper"),
        ("run-zookeeper", [], "zookeeper/zoo.cfg"),
        ("run-zookeeper", [], "zookeeper/version-2"),
        ("run-broker", [], "kafka"),
        ("run-broker", [], "kafka/meta.properties"),
        ("run-java", ["kafka", "-version"], "run"),
        ("run-java", ["kafka", "-version"], "run/tmp"),
        ("run-java", ["kafka", "-version"], "run/tmp/kafka"),
    ],
)
def test_the_brokers_scripts_follow_no_link(tmp_path: Path, script: str, arguments: list[str], place: str) -> None:
    outside, data = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (outside / "file").write_text(PRECIOUS)
    (data / place).parent.mkdir(parents=True)
    (data / place).symlink_to(outside if "." not in place else outside / "file")
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data), "BROKER_CONF": str(BROKER), "ZOOKEEPER_PORT": "1"}
    environment |= {"ZOOKEEPER_BIND": "127.0.0.1", "ZOOKEEPER_CONNECT": "127.0.0.1:1", "KAFKA_LISTENERS": "HOST://x:1"}
    environment |= {"KAFKA_ADVERTISED": "HOST://x:1", "KAFKA_JARS": "/none"}
    result = subprocess.run([BROKER / script, *arguments], env=environment, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (
        REFUSED,
        f"{data / place} is a symbolic link, which is not followed: below a lake's folder there may be none.\n",
    )
    assert _outside(outside) == {"file": PRECIOUS}


# Other modules that create, move or remove files, and where; none of it is below a lake.
WRITES_ELSEWHERE = {
    "role/finance_role/beneath.py": "does it for all other modules",
    "role/finance_role/literal_paths.py": "an alias in the system's temporary folder",
    "local/finance_local/importing/left_out.py": "a list beside the file that the user imports",
    "lake/finance_lake/export.py": "the file that the user names",
    "lake/finance_storage/paths.py": "a folder for copies of data files, in the system's temporary folder",
    "lake/finance_lake/backup_folder.py": "a new folder where the user wants a backup",
    "lake/finance_lake/day_copy.py": "a new folder where the user wants a copy",
    "lake/finance_lake/cli/app.py": "redirects standard output to /dev/null",
    "lake/finance_lake/query/engine.py": "DuckDB's spill files, in the system's temporary folder",
    "lake/finance_lake/cli/notebook.py": "the notebook that the user names",
    "spark-job/finance_job/session.py": "in the system's temporary folder, if Spark cannot use the lake's folder",
    "spark-job/finance_job/reading_session.py": "Spark's files, in the system's temporary folder",
    "spark-job/finance_job/archive.py": "a separate temporary lake",
    "local/finance_local/containers.py": "`.env`; and the lake's folder itself, by descriptor",
    "local/finance_local/reset.py": "deletes everything below a lake, and refuses links",
}
WRITING = {
    *("write_text", "write_bytes", "touch", "mkdir", "makedirs", "rename", "unlink", "rmdir", "rmtree", "removedirs"),
    *("symlink_to", "hardlink_to", "symlink", "link", "copyfile", "copytree", "copy2", "mkdtemp", "mkstemp"),
    *("NamedTemporaryFile", "TemporaryDirectory", "create_dir"),
}


def _writes(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        arguments = (*node.args, *(key.value for key in node.keywords))
        modes = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
        is_open = name == "open" and any(isinstance(mode, str) and set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
        if is_open or (name in WRITING and owner != "beneath") or (owner == "os" and name in {"open", "replace", "remove"}):
            return True
    return False


def test_no_other_module_writes_files() -> None:
    packages = [name for name in FOLDERS if "." not in name]
    writers = {str(path.relative_to(ROOT)) for name in packages for path in modules(name) if _writes(path)}
    assert writers - {"lake/finance_lake/query/lake_files.py"} == WRITES_ELSEWHERE.keys()
