"""A lake in a bucket of a real S3 server: written, verified, repaired, sealed and read by the code that does it in a folder."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
import structlog
from starlette.testclient import TestClient
from typer.testing import CliRunner

from finance_job.guard import StartupRefusedError, check_lake
from finance_job.maintenance.compaction import Maintenance
from finance_job.repair.altered_rows import altered_rows, report_of
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import make_plan
from finance_job.repair.redrive import ALL, redrive
from finance_job.repair.request import RedriveAnswer, Requests, ask_job
from finance_job.store_guard import ROUNDS, outages_named, race, require_fit_store
from finance_job.transaction import Change, last_log_checkpoint, write_log_checkpoint
from finance_job.writer import FencedError, Writer
from finance_kafka.offsets import OffsetRange
from finance_lake.cli import app
from finance_lake.dashboard.app import Dashboard
from finance_lake.lake import Lake
from finance_role.beneath import IrregularError, fault
from finance_storage import ledger, place
from finance_storage.bucket import BucketPath, CredentialsError, ObjectStore
from finance_storage.delta_table import open_table
from finance_storage.errors import StoreUnavailableError, UnreadableError
from finance_storage.files import entry_path
from finance_storage.paths import TICKS, LakePaths
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.days import Days, after_midnight, date_of
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered
from tests.support.s3_server import S3Server
from tests.unit.job.test_recover import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from finance_verify.verdict import Report

LOG = structlog.get_logger()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture
def root(server: S3Server, tmp_path: Path) -> BucketPath:
    """Return an unused prefix."""
    store = ObjectStore(server.endpoint, credentials_file=str(server.credentials_file), cache=str(tmp_path / "cache"))
    return BucketPath.of(store, server.settings(prefix=tmp_path.name)["LAKE_URI"])


@pytest.fixture
def lake(root: BucketPath) -> BuiltLake:
    """Return a lake of three batches at the prefix."""
    built = in_a_bucket(root)
    built.store([*numbered(10), BAD])
    built.store([GOOD, BAD, BAD], partition=1)
    built.store(numbered(5, first=10))
    return built


def in_a_bucket(root: BucketPath) -> BuiltLake:
    return BuiltLake(cast("Path", root), partitions=2)  # its other methods are for folders


def judged(lake: BuiltLake) -> Report:
    return verify(lake.paths, VerifyContext(TOPIC, lambda: lake.broker))


def test_a_place_in_a_bucket_does_what_a_folder_does(server: S3Server, root: BucketPath) -> None:
    file = root / "a" / "b.json"
    with pytest.raises(FileNotFoundError):
        place.read(root, file)
    place.write_whole(root, file, b"one")
    with pytest.raises(FileExistsError):
        place.write_whole(root, file, b"two", replace=False)
    place.write_whole(root, file, b"three")
    assert place.read(root, file) == b"three"
    assert place.status_of(root, file).st_size == 5
    assert list(place.listed(root, root / "a")) == list(place.names(root / "a")) == ["b.json"]
    place.move(root, file, root / "c.json")
    assert not place.exists(file)
    with pytest.raises(RuntimeError):
        _fail_while_writing(root)
    assert [name for name, status in place.listed(root, root).items() if not fault(status)] == ["c.json"]
    place.remove(root, root)
    assert list(place.names(root)) == []
    with pytest.raises(IrregularError):
        place.read(root, root / ".." / "other")
    assert server.secret not in f"{root!r}{root.store!r}"


def test_a_lake_in_a_bucket_is_verified_and_damage_is_found(lake: BuiltLake) -> None:
    assert judged(lake).code is Code.COMPLETE
    assert check_lake(lake.paths, TOPIC, lake.broker) == lake.identity
    table = open_table(lake.paths.ticks)
    assert table is not None
    name = table.file_uris()[0].rpartition("/finance_delta/")[2]
    place.remove(lake.paths.root, lake.paths.ticks / name)
    assert judged(lake).code is Code.CORRUPT
    place.write_whole(lake.paths.root, entry_path(lake.paths.ticks, table.version()), b"")
    assert judged(lake).code is Code.CORRUPT
    with pytest.raises(StartupRefusedError):
        check_lake(lake.paths, TOPIC, lake.broker)


def test_a_driver_that_wakes_late_is_fenced(lake: BuiltLake) -> None:
    files = lake.write([GOOD], 0, lake.plan(1))
    newer = Writer(lake.paths, lake.identity)
    change = Change.of(files, {0: OffsetRange(16, 17)})
    with pytest.raises(FencedError):
        lake.writer.commit(TICKS, change)
    newer.commit(TICKS, change)
    assert judged(lake).code is Code.COMPLETE


def test_a_driver_recognises_its_own_take_over_although_the_answer_was_lost(server: S3Server, lake: BuiltLake) -> None:
    root = cast("BucketPath", lake.paths.root)
    with answering(server.port, _losing_the_first_commit()) as port:
        behind = BucketPath(replace(root.store, endpoint=f"http://127.0.0.1:{port}"), root.key)
        writer = Writer(LakePaths(behind), lake.identity)
    assert writer.epoch == 1
    assert {Writer(lake.paths, lake.identity).epoch} == {2}
    assert judged(lake).code is Code.COMPLETE


def test_maintenance_redrive_and_log_checkpoints_keep_every_record(root: BucketPath) -> None:
    lake = in_a_bucket(root)
    for batch in range(40):
        lake.store([*numbered(5, first=5 * batch), BAD])

    @contextmanager
    def between_batches() -> Iterator[None]:
        lake.writer.invalidate_cache()
        yield
        lake.writer.invalidate_cache()

    def days_files() -> int:
        table = open_table(lake.paths.ticks)
        assert table is not None
        return len(table.file_uris())

    Maintenance(lake.paths, lake.writer, between_batches, LOG, lambda: date_of(0)).all()
    assert days_files() < 40
    Maintenance(lake.paths, lake.writer, between_batches, LOG, lambda: date_of(1)).all()  # sorts the day
    assert days_files() == 1
    assert last_log_checkpoint(lake.paths.ticks) == 0
    write_log_checkpoint(lake.paths.ticks, 40)
    assert last_log_checkpoint(lake.paths.ticks) == 40
    assert redrive(lake.paths, lake.writer, ALL).examined == 40
    assert judged(lake).code is Code.COMPLETE


def test_recover_reads_again_what_a_lost_file_and_a_torn_entry_had(lake: BuiltLake) -> None:
    table = open_table(lake.paths.ticks)
    assert table is not None
    place.remove(lake.paths.root, lake.paths.ticks / min(table.file_uris()).rpartition("/finance_delta/")[2])
    torn = entry_path(lake.paths.ticks, table.version())
    place.write_whole(lake.paths.root, torn, b"")
    assert judged(lake).code is Code.CORRUPT
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, altered_rows(report_of(lake.paths, TOPIC, lake.broker)))
    Recovery(lake.paths, partial(replay, lake), plan, lambda _: None).run()
    assert judged(lake).code is Code.BEHIND  # the stream reads the records of the torn commit
    assert check_lake(lake.paths, TOPIC, lake.broker) == lake.identity
    assert [name for name in place.names(lake.paths.root) if name == "aside"] == ["aside"]


def test_a_day_is_sealed(root: BucketPath) -> None:
    days = Days(in_a_bucket(root))
    days.arrive([*numbered(5), BAD], 0)
    days.seal(after_midnight(0))
    assert days.until == date_of(1)
    assert [manifest.rows for manifest in days.manifests()] == [5]


def test_a_request_reaches_the_job_and_is_withdrawn_if_none_runs(lake: BuiltLake) -> None:
    assert ask_job(lake.paths, "all", 20, taken_seconds=0.5) is None
    requests, done = Requests(lake.paths, LOG), threading.Event()

    def job() -> None:
        while not done.wait(0.1):
            requests.serve(lambda _: RedriveAnswer(done=True, sentence="done"))

    serving = threading.Thread(target=job)
    serving.start()
    try:
        assert ask_job(lake.paths, "all", 60, taken_seconds=50) == RedriveAnswer(done=True, sentence="done")
    finally:
        done.set()
        serving.join()


def test_a_lake_in_a_bucket_is_read_through_a_bounded_cache(lake: BuiltLake, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Lake(lake.paths) as opened:
        assert opened.count() == 16
        assert opened.symbols() == ["AAPL"]
        assert len(list(cache.rglob("*.parquet"))) == 3
        assert opened.sql("SELECT count(*) AS n FROM ticks").rows() == [{"n": 16}]
        assert opened.quarantine().arrow.num_rows == 3
        assert opened.bars("1m").arrow.num_rows > 0
        assert opened.ticks("AAPL", as_of=opened.version - 1).arrow.num_rows == 11
        assert len(opened.since(opened.version - 1).rows()) == 5
        for copy in cache.rglob("*.parquet"):
            os.utime(copy, (0, 0))
        lake.store(numbered(5, first=15))
    with Lake(LakePaths(bounded(lake, 1))) as opened, pytest.raises(UnreadableError, match="S3_CACHE_MB"):
        opened.ticks("AAPL")


COMMANDS = [
    ("status",),
    ("verify", "--no-broker"),
    ("show",),
    ("history",),
    ("bars", "AAPL"),
    ("sql", "SELECT count(*) FROM ticks"),
    ("quarantine",),
    ("seal",),
    ("sources",),
]


def test_every_command_reads_a_lake_in_a_bucket(
    server: S3Server, lake: BuiltLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**server.settings(prefix=tmp_path.name), "DATA_DIR": str(tmp_path / "data"), "KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    outputs = {}
    for command in COMMANDS:
        result = CliRunner().invoke(app, [*command])
        assert result.exit_code == 0, f"{command}: {result.output}{result.exception!r}"
        outputs[command[0]] = result.output
    assert str(lake.paths.root) in outputs["status"]
    assert "derived" in outputs["status"]
    assert "16" in outputs["sql"]
    assert CliRunner().invoke(app, ["status", "--data", str(lake.paths.root)]).exit_code == 2
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:9")
    down = CliRunner().invoke(app, ["history"])
    assert (down.exit_code, "The object store has failed" in down.output) == (1, True), down.output


def test_the_dashboard_reads_a_lake_in_a_bucket(lake: BuiltLake) -> None:
    with TestClient(Dashboard(lake.paths).app, base_url="http://127.0.0.1:8050") as client:
        status = client.get("/api/status").json()
        assert (status["rows"], status["quarantined"]) == (16, 3)
        for address in ("/api/bars?symbol=AAPL&size=1m", "/api/history", "/api/quarantine"):
            assert client.get(address).status_code == 200, address
        answer = client.post("/api/sql", json={"query": "SELECT count(*) AS n FROM ticks"})
        assert answer.status_code == 200, answer.text


def test_the_copies_that_were_used_last_stay(lake: BuiltLake, tmp_path: Path) -> None:
    with Lake(lake.paths) as opened:
        opened.ticks("AAPL")
        copies = list((tmp_path / "cache").rglob("*.parquet"))
        most = sum(copy.stat().st_size for copy in copies)
        for copy in copies:
            os.utime(copy, (0, 0))
    lake.store(numbered(5, first=15))
    with Lake(LakePaths(bounded(lake, most))) as opened:
        assert len(opened.since(opened.version - 1).rows()) == 5
    left = list((tmp_path / "cache").rglob("*.parquet"))
    assert sum(copy.stat().st_size for copy in left) <= most
    assert set(left) != set(copies)


def test_the_ledgers_are_read_from_the_bucket(root: BucketPath) -> None:
    lines = b'{"source": "sim-1", "topic": "finance"}\n{"acknowledged": [[0, 9]]}\n'
    place.write_whole(root, root / "ledger" / "sim-1.jsonl", lines)
    ledgers = ledger.read_all(root / "ledger", TOPIC)
    assert ledgers.accounts["sim-1"].ticks == 10
    assert ledger.read_all(root / "none", TOPIC).accounts == {}


def test_put_if_absent_is_probed_and_a_store_without_it_is_refused(server: S3Server, root: BucketPath) -> None:
    paths = LakePaths(root)
    assert race(root / "probe") == [1] * ROUNDS
    assert require_fit_store(paths, threading.Event(), LOG)
    assert list(place.names(root)) == []
    with answering(server.port, lie) as port:
        liar = ObjectStore(f"http://127.0.0.1:{port}", credentials_file=str(server.credentials_file))
        with pytest.raises(StartupRefusedError, match="does not keep put-if-absent"):
            require_fit_store(LakePaths(BucketPath(liar, root.key)), threading.Event(), LOG)


def test_wrong_keys_are_refused_and_an_outage_is_waited_for(server: S3Server, root: BucketPath, tmp_path: Path) -> None:
    wrong = tmp_path / "keys"
    wrong.write_text("[default]\naws_access_key_id = tester\naws_secret_access_key = wrong-secret\n")
    paths = LakePaths(BucketPath(ObjectStore(server.endpoint, credentials_file=str(wrong)), root.key))
    with pytest.raises(StartupRefusedError) as refused:
        require_fit_store(paths, threading.Event(), LOG)
    assert "wrong-secret" not in str(refused.value)
    with pytest.raises(CredentialsError):
        ObjectStore(server.endpoint, credentials_file=str(tmp_path / "none")).file_system()
    down = LakePaths(BucketPath(ObjectStore("http://127.0.0.1:9", credentials_file=str(server.credentials_file)), root.key))
    stopping = threading.Event()
    threading.Timer(1, stopping.set).start()
    assert not require_fit_store(down, stopping, LOG)
    with pytest.raises(StoreUnavailableError), outages_named(down):
        place.read(down.root, down.root / "x")


def bounded(lake: BuiltLake, cache_bytes: int) -> BucketPath:
    """Return the lake's place with a cache of another size."""
    root = cast("BucketPath", lake.paths.root)
    return BucketPath(replace(root.store, cache_bytes=cache_bytes), root.key)


def _fail_while_writing(root: BucketPath) -> None:
    with place.created(root, root / "d") as content:
        content.write(b"a part")
        raise RuntimeError


def lie(_: bytes, answer: bytes) -> bytes:
    """Report success for each conditional put that the server has refused."""
    refused = answer.startswith(b"HTTP/1.1 412")
    return b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' if refused else answer


def _losing_the_first_commit() -> Callable[[bytes, bytes], bytes]:
    """Return an answer that is none for the first conditional put, which the server has carried out."""
    lost = threading.Event()

    def answer_to(request: bytes, answer: bytes) -> bytes:
        if b"if-none-match" in request.lower() and answer.startswith(b"HTTP/1.1 200") and not lost.is_set():
            lost.set()
            return b""
        return answer

    return answer_to


@contextmanager
def answering(target: int, change: Callable[[bytes, bytes], bytes]) -> Iterator[int]:
    """Yield the port of a proxy that changes the answers; `change` gets the begin of the request, and the answer."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.begin = b""
            with socket.create_connection(("127.0.0.1", target)) as server:
                sending = threading.Thread(target=self._send, args=(server,), daemon=True)
                sending.start()
                answer = b"".join(iter(lambda: server.recv(65536), b""))
                self.request.sendall(change(self.begin, answer))

        def _send(self, server: socket.socket) -> None:
            try:
                for part in iter(lambda: self.request.recv(65536), b""):
                    self.begin = self.begin or part
                    server.sendall(part)
            except OSError:
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        serving = threading.Thread(target=proxy.serve_forever, daemon=True)
        serving.start()
        yield int(proxy.server_address[1])
        proxy.shutdown()
