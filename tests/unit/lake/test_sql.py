"""Users' SQL: what it can read, and that it can neither reach outside of the lake nor exhaust the machine."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import psutil
import pytest

import finance_lake as fl
from finance_lake.lake import Lake
from finance_lake.query import sql as asking
from finance_lake.query.lake_files import LakeFiles, name_of
from finance_lake.query.sandbox import MEMORY, SandboxAnswer
from finance_lake.query.selection import quoted
from finance_lake.query.sql import Limits
from finance_storage.paths import TICKS
from tests.support.stack import ROOT
from tests.unit.lake.conftest import story
from tests.unit.lake.sandbox_without import FILES, LANDLOCK, STATEMENT, WITHOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.lakes import BuiltLake


PATCHED = "tests.unit.lake.sandbox_without"
KERNELS = ("a kernel with Landlock", "a kernel without")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this module's lake. No query can change it, so most tests share one process."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def built(outside: Path) -> BuiltLake:
    """Make the lake, with files beside it that no query may read."""
    made = story(outside / "data")
    Lake(made.paths.root).ticks().pl().write_parquet(outside / "secret.parquet")
    (outside / "secret.json").write_text('{"a": 1}')
    (made.paths.ticks / "link.parquet").symlink_to(outside / "secret.parquet")
    return made


@pytest.fixture(scope="module")
def lakes(built: BuiltLake) -> Iterator[dict[str, Lake]]:
    """Open the lake once per kind of kernel, since processes are reused within a Lake."""
    opened = {name: Lake(built.paths.root) for name in KERNELS}
    yield opened
    for lake in opened.values():
        lake.close()


@pytest.fixture(params=KERNELS)
def lake(lakes: dict[str, Lake], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Return the lake, on a kernel with Landlock and on one without, such as that of macOS."""
    if request.param != KERNELS[0]:
        leave_out(monkeypatch, LANDLOCK)
    return lakes[request.param]


def leave_out(patch: pytest.MonkeyPatch, *protections: str) -> None:
    """Start SQL processes without some of their protections."""
    patch.setattr("finance_lake.query.sql.SANDBOX", PATCHED)
    environment = asking.environment()
    environment |= {WITHOUT: ",".join(protections), "PYTHONPATH": f"{ROOT}:{environment['PYTHONPATH']}"}
    patch.setattr("finance_lake.query.sql.environment", lambda: environment)


def test_the_views_equal_the_methods(lake: Lake) -> None:
    assert lake.sql("FROM bars_1m").arrow.equals(lake.bars("1m").arrow)
    assert lake.sql("FROM latest").arrow.equals(lake.latest().arrow)
    assert len(lake.sql("FROM ticks")) == 7
    assert [row["n"] for row in lake.sql("SELECT count(*) AS n FROM quarantine").rows()] == [2]


def test_prices_stay_decimals(lake: Lake) -> None:
    assert lake.sql("SELECT max(price) AS price FROM ticks").rows() == [{"price": Decimal("401.00000000")}]


def test_duplicate_column_names_are_made_unique(lake: Lake) -> None:
    assert lake.sql("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a").rows() == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]
    joined = lake.sql("SELECT t.price, l.price FROM ticks t JOIN latest l USING (symbol) WHERE t.seq = 0")
    assert joined.columns == joined.pl().columns == ["price", "price_1"]
    assert [str(price) for price in joined.rows()[0].values()] == ["100.00000000", "101.00000000"]


def test_as_of_an_earlier_version(lake: Lake) -> None:
    result = lake.sql("SELECT count(*) AS n FROM ticks", as_of=1)
    assert (result.rows(), result.version) == ([{"n": 3}], 1)


REFUSED = [
    "COPY ticks TO '{outside}/stolen.csv'",
    "COPY (SELECT 1) TO '{file}'",
    "EXPORT DATABASE '{outside}'",
    "ATTACH '{outside}/other.db'",
    "ATTACH '{file}' AS x",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW ticks AS SELECT 1",
    "INSERT INTO ticks VALUES (1)",
    "DELETE FROM ticks",
    "DROP VIEW ticks",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY ticks TO '{outside}/x'",
    "",
    "-- nothing",
    ";",
]
FORBIDDEN = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_json('{outside}/secret.json')",
    "SELECT * FROM read_parquet('{outside}/secret.parquet')",
    "SELECT * FROM read_parquet('{folder}/date=2026-11-24/../../../secret.parquet')",
    "SELECT * FROM read_parquet('{folder}/link.parquet')",
    "SELECT * FROM read_text('{folder}/_delta_log/00000000000000000000.json')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{outside}/secret.parquet'",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{outside}/secret.parquet')",
    "SELECT * FROM read_duckdb('{outside}/secret.parquet')",
    "SELECT * FROM read_text('https://example.com/')",
    "SELECT * FROM read_csv('/dev/stdin')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{outside}/x''')",
    "SELECT * FROM read_parquet('lake://ticks/../../secret.parquet')",
    "SELECT * FROM read_parquet('lake://ticks/link.parquet')",
    "SELECT * FROM 'lake://ticks/*'",
    "SELECT getenv('HOME')",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT nonsense FROM ticks",
    "SELEC 1",
    "SELECT price + 'x\x1b[31m' FROM ticks",
    "SELECT error('\x1b]0;owned\x07')",
    "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
    "SELECT * FROM ticks WHERE symbol = '" + "x" * 200_000 + "'",
]


@pytest.mark.parametrize("query", REFUSED)
def test_what_is_not_one_select_is_refused(lake: Lake, built: BuiltLake, outside: Path, query: str) -> None:
    before = contents(outside)
    with pytest.raises(fl.QueryError, match=r"SELECT|syntax error|Parser Error"):
        lake.sql(filled(query, built, outside))
    assert contents(outside) == before


@pytest.mark.parametrize("query", FORBIDDEN, ids=lambda query: query[:60].encode("unicode_escape").decode())
def test_nothing_outside_of_the_lake_can_be_read(lake: Lake, built: BuiltLake, outside: Path, query: str) -> None:
    before = contents(outside)
    with pytest.raises(fl.QueryError) as refusal:
        lake.sql(filled(query, built, outside))
    assert str(refusal.value).replace("\n", "").isprintable()
    assert len(str(refusal.value)) <= 500
    assert contents(outside) == before
    assert lake.sql("SELECT 1 AS one").rows() == [{"one": 1}]


GREEDY = [
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = 7",
    "SELECT list_sum(range(1000000000))",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT list(i) FROM range(1000000000) t(i)",
    "SELECT string_agg(i::VARCHAR) FROM range(1000000000) t(i)",
    "SELECT repeat('x', 10000000) FROM range(1000)",
]


@pytest.mark.parametrize("query", GREEDY)
def test_time_and_memory_of_a_query_are_limited(lake: Lake, query: str) -> None:
    started = time.monotonic()
    with pytest.raises(fl.QueryError, match=r"longer than 1 s|more than the 256 MB"):
        lake.sql(query, limits=Limits(seconds=1, megabytes=256))
    assert time.monotonic() - started < 10
    assert lake.count() == 7
    assert lake.sql("SELECT 1 AS one").rows() == [{"one": 1}]


@pytest.mark.parametrize("query", ["SELECT list_sum(range(1000000000))", "SELECT length(repeat('x', 2000000000))"])
def test_memory_is_limited_within_a_single_expression_too(lake: Lake, query: str) -> None:
    with pytest.raises(fl.QueryError, match="more than the 256 MB"):
        lake.sql(query, limits=Limits(seconds=60, megabytes=256))


TRUNCATING = "WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT csv, USE_TMP_FILE false)) FROM x"
AS_JSON = f"FROM json_execute_serialized_sql(json_serialize_sql({quoted(TRUNCATING)}))"
WRITING = [
    TRUNCATING,
    AS_JSON,
    f"FROM query({quoted(AS_JSON)})",
    "FROM query(" + quoted(AS_JSON).replace("json_exec", "json_exec' || '") + ")",
    f"FROM (WITH y AS ({TRUNCATING}) FROM y)",
    f"SELECT json_serialize_plan({quoted(TRUNCATING)}), 1 / 0::INTEGER, error('it only plans')",
    "FROM read_duckdb('{file}')",
]
ALONE = {STATEMENT: (FILES, LANDLOCK), FILES: (STATEMENT, LANDLOCK), LANDLOCK: (STATEMENT, FILES)}


@pytest.mark.parametrize("query", WRITING, ids=lambda query: query[:40])
@pytest.mark.parametrize("protection", [*ALONE, "all"])
def test_each_protection_alone_keeps_every_file_unchanged(
    built: BuiltLake, outside: Path, query: str, protection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if protection == LANDLOCK and not has_landlock():
        pytest.skip("this kernel has no Landlock")
    leave_out(monkeypatch, *ALONE.get(protection, ()))
    file = built.files(TICKS)[0]
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    with fl.Lake(built.paths.root) as lake:
        for at in (str(file), name_of(TICKS, str(file.relative_to(built.paths.ticks)))):
            with pytest.raises(fl.LakeError):
                lake.sql(query.replace("{file}", at))
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_without_any_protection_a_file_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the attack works without protections, so the tests above test the protections."""
    victim = story(tmp_path / "data")
    file = victim.files(TICKS)[0]
    leave_out(monkeypatch, *ALONE)
    with fl.Lake(victim.paths.root) as lake, pytest.raises(fl.LakeError):
        lake.sql(TRUNCATING.replace("{file}", name_of(TICKS, str(file.relative_to(victim.paths.ticks)))))
    assert file.read_bytes() == b""


@pytest.mark.parametrize("mode", ["wb", "r+b", "ab", "xb", "w", "rb+", "r"])
def test_a_data_file_opens_for_reading_only(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"whole")
    files = LakeFiles({TICKS: str(tmp_path)}, ["lake://ticks/file"])
    with pytest.raises(PermissionError):
        files.open("lake://ticks/file", mode)
    with files.open("lake://ticks/file") as opened:
        assert (opened.read(), opened.writable()) == (b"whole", False)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    files = LakeFiles({TICKS: str(tmp_path)}, [f"lake://ticks/{name}" for name in ("pipe", "link", "folder")])
    for name in ("pipe", "link", "folder", "unknown"):
        with pytest.raises(OSError, match=name):
            files.open(f"lake://ticks/{name}")


@pytest.mark.parametrize("folder", ["date=2020-01-01", "symbol=IBM", "a,b", "*", "[x]", "with space", "lake://x"])
def test_folder_names_do_not_become_columns(tmp_path: Path, folder: str) -> None:
    made = story(tmp_path / folder / "data")
    with fl.Lake(made.paths.root) as lake:
        rows = lake.sql("SELECT DISTINCT date, symbol FROM ticks ORDER BY ALL").rows()
    assert [(str(row["date"]), row["symbol"]) for row in rows] == [("2026-11-24", "AAPL"), ("2026-11-24", "MSFT")]


def has_landlock() -> bool:
    """Return whether this kernel has Landlock; tried in another process."""
    code = "from finance_lake.query.landlock import forbid_writing as renounce; raise SystemExit(not renounce())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("change", ["open('file', 'w')", "os.truncate('file', 0)", "os.unlink('file')", "open('new', 'w')"])
def test_landlock_denies_every_change(tmp_path: Path, change: str) -> None:
    if not has_landlock():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "file").write_text("whole")
    code = f"import os; from finance_lake.query.landlock import forbid_writing; forbid_writing(); {change}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "PermissionError" in ended.stderr
    assert contents(tmp_path) == {str(tmp_path / "file"): 5}


def test_modules_in_the_current_folder_are_not_run(built: BuiltLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "duckdb.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    with fl.Lake(built.paths.root) as lake:
        assert lake.sql("SELECT 1 AS one").rows() == [{"one": 1}]


@pytest.mark.parametrize(
    ("query", "limits"),
    [
        ("SELECT list({'a': 1::TINYINT}) FROM range(200000)", Limits(values=100_000)),
        ("SELECT map([1, 2], ['a', 'b']) FROM range(200000)", Limits(values=100_000)),
        ("SELECT repeat('x', 3000000)", Limits(result_megabytes=1)),
    ],
)
def test_the_size_of_a_result_is_limited(lake: Lake, query: str, limits: Limits) -> None:
    with pytest.raises(fl.QueryError, match="The result is larger than"):
        lake.sql(query, limits=limits)


def test_a_long_error_is_cut(lake: Lake) -> None:
    started = time.monotonic()
    with pytest.raises(fl.QueryError) as refusal:
        lake.sql("SELECT error(repeat(chr(1), 5000000))")
    assert len(str(refusal.value)) <= 500
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("value", ["DATE '-4000-01-01'", "'infinity'::TIMESTAMP", "TIMESTAMPTZ '-4000-01-01 00:00:00+00'"])
def test_a_value_that_python_cannot_hold_is_reported(lake: Lake, value: str) -> None:
    result = lake.sql(f"SELECT {value} AS value")
    with pytest.raises(fl.RequestError, match="cast the column"):
        result.rows()


def test_too_many_rows_raise_or_are_cut(lake: Lake) -> None:
    few = Limits(rows=3)
    with pytest.raises(fl.QueryError, match="more than 3 rows"):
        lake.sql("FROM ticks", limits=few)
    cut = lake.sql("FROM ticks", limits=few, cut=True)
    assert (len(cut), cut.cut) == (3, True)
    assert not lake.sql("FROM ticks LIMIT 3", limits=few).cut


def test_variables_of_the_caller_cannot_be_queried(lake: Lake) -> None:
    secret = lake.ticks().arrow
    with pytest.raises(fl.QueryError, match="secret does not exist"):
        lake.sql("SELECT * FROM secret")
    assert secret.num_rows


def test_a_query_works_after_a_failed_one(lake: Lake) -> None:
    with pytest.raises(fl.QueryError):
        lake.sql("SELECT * FROM nothing")
    assert lake.sql("SELECT count(*) AS n FROM ticks").rows() == [{"n": 7}]


def test_no_process_is_left_behind(built: BuiltLake) -> None:
    lake, before = Lake(built.paths.root), sandboxes()
    lake.sql("SELECT 1")
    assert sandboxes() - before
    with pytest.raises(fl.QueryError):
        lake.sql("SELECT length(repeat('x', 2000000000))", limits=Limits(seconds=1, megabytes=256))
    lake.close()
    assert not sandboxes() - before


def test_a_process_that_reached_its_memory_limit_is_replaced(built: BuiltLake) -> None:
    small, before = Limits(seconds=10, megabytes=256), sandboxes()
    with fl.Lake(built.paths.root) as lake:
        for query in ("SELECT list_sum(range(1000000000))", "SELECT string_agg(i::VARCHAR) FROM range(1000000000) t(i)"):
            with pytest.raises(fl.QueryError, match="more than the 256 MB"):
                lake.sql(query, limits=small)
            assert not sandboxes() - before
            assert lake.sql("SELECT sum(i) AS n FROM range(1000000) t(i)", limits=small).rows() == [{"n": 499999500000}]


def test_a_reused_process_that_runs_out_of_memory_is_retried_in_a_new_one(
    built: BuiltLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fl.Lake(built.paths.root) as lake:
        lake.sql("SELECT 1")
        asked, failures = asking._asked, iter([(SandboxAnswer(MEMORY), None)])  # noqa: SLF001
        monkeypatch.setattr(asking, "_asked", lambda *args: next(failures, None) or asked(*args))
        assert lake.sql("SELECT 42 AS n").rows() == [{"n": 42}]


def test_ctrl_c_of_the_terminal_does_not_reach_the_process(lake: Lake) -> None:
    lake.sql("SELECT 1")
    assert os.getpgrp() not in {os.getpgid(process) for process in sandboxes()}


def test_memory_held_by_an_earlier_query_does_not_fail_the_next(built: BuiltLake) -> None:
    small, sandbox = Limits(seconds=10, megabytes=256), sandboxes()
    with fl.Lake(built.paths.root) as lake:
        lake.sql("SELECT 1", limits=small)
        (process,) = sandboxes() - sandbox
        used = psutil.Process(process).memory_info().vms
        resource.prlimit(process, resource.RLIMIT_AS, (used + 1024 * 1024,) * 2)  # as if it used all of its memory
        assert len(lake.sql("FROM range(100000)", limits=small)) == 100_000
        assert process not in sandboxes()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_idle_process_that_was_killed_is_replaced(built: BuiltLake, sent: signal.Signals) -> None:
    before = sandboxes()
    with fl.Lake(built.paths.root) as lake:
        lake.sql("SELECT 1")
        (process,) = sandboxes() - before
        os.kill(process, sent)
        with pytest.raises(fl.QueryError, match='syntax error at or near "selct"'):
            lake.sql("selct 1;")


def sandboxes() -> set[int]:
    """Return the SQL processes of all lakes."""
    children = psutil.Process().children()
    return {child.pid for child in children if {"finance_lake.query.sandbox", PATCHED} & set(child.cmdline())}


def test_a_missing_data_file_is_reported(tmp_path: Path) -> None:
    broken = story(tmp_path / "data")
    broken.files(TICKS)[0].unlink()
    with pytest.raises(fl.UnreadableError, match=r"No such file or directory: .*make verify"):
        Lake(broken.paths.root).sql("FROM ticks")


def test_a_damaged_data_file_is_reported(tmp_path: Path) -> None:
    broken = story(tmp_path / "data")
    file = broken.files(TICKS)[0]
    file.write_bytes(b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1")
    with pytest.raises(fl.UnreadableError, match="make verify"):
        Lake(broken.paths.root).sql("FROM ticks")


def test_a_process_that_cannot_start_is_not_reported_as_out_of_memory(
    built: BuiltLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finance_lake.query.sql.SANDBOX", "finance_lake.no_such_module")
    with pytest.raises(fl.QueryError, match="cannot start; it ended with exit code 1"):
        Lake(built.paths.root).sql("SELECT 1")


def filled(query: str, built: BuiltLake, outside: Path) -> str:
    """Insert paths into a query."""
    return (
        query.replace("{outside}", str(outside))
        .replace("{folder}", str(built.paths.ticks))
        .replace("{file}", str(built.files(TICKS)[0]))
    )


def contents(folder: Path) -> dict[str, int]:
    """Return the files in a folder and their sizes."""
    return {str(path): path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()}


def test_the_sql_process_gets_a_clean_environment(built: BuiltLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for key, value in {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/none", "TZ": "Asia/Tokyo", "A_SECRET": "x"}.items():
        monkeypatch.setenv(key, value)
    before = sandboxes()
    with fl.Lake(built.paths.root) as lake:
        lake.sql("SELECT 1")
        (process,) = sandboxes() - before
        environment = psutil.Process(process).environ()
    assert not (tmp_path / "ran").exists()
    assert not environment.keys() & {"PYTHONHOME", "A_SECRET"}
    assert environment["TZ"] == "UTC"
