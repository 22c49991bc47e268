"""The dashboard's server: panels, refused requests, and the event stream."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import socket
import threading
import time
from contextlib import asynccontextmanager, nullcontext
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from deltalake import DeltaTable
from starlette.testclient import TestClient

from finance_job.maintenance.compaction import Maintenance
from finance_lake.dashboard import feed as feeding
from finance_lake.dashboard.app import PAGE, Dashboard
from finance_lake.dashboard.commit_update import change
from finance_lake.dashboard.feed import CommitFeed
from finance_lake.dashboard.security import HEADERS, MAX_BODY_BYTES
from finance_lake.dashboard.serve import CannotServeError, bind, in_url
from finance_lake.lake import Lake
from finance_lake.query.engine import Engine
from finance_lake.query.sql import Cancel
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.errors import QueryError
from finance_storage.paths import TICKS, LakePaths
from tests.support.lakes import BAD, BuiltLake, numbered
from tests.unit.lake.conftest import tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from finance_lake.query.result import Result

MAX_PAGE_BYTES = 400 * 1024
HOSTILE = b'{"symbol": "AAPL", "price": 101, "source": "=cmd|\' /C calc\'!A0<script>alert(1)</script>"}'


@pytest.fixture
def client(built: BuiltLake) -> Iterator[TestClient]:
    with TestClient(Dashboard(built.paths).app, base_url="http://127.0.0.1:8050") as opened:
        yield opened


def of(client: TestClient, address: str) -> Any:  # noqa: ANN401
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- panels ----------------------------------------------------------------------------------------------------------


def test_the_status_counts_both_tables(client: TestClient) -> None:
    status = of(client, "/api/status")
    assert (status["version"], status["rows"], status["quarantined"], status["verdict"]) == (3, 7, 2, None)


def test_the_status_can_be_read_as_of_an_earlier_version(client: TestClient) -> None:
    status = of(client, "/api/status?as_of=1")
    assert (status["version"], status["rows"], status["quarantined"]) == (1, 3, 1)


def test_the_status_has_the_last_verdict_with_its_time(client: TestClient, built: BuiltLake) -> None:
    verdict = {"verdict": "complete", "code": 0, "sentence": "complete: 0 lost", "at": "2026-11-24T12:00:00Z"}
    built.paths.verdict.parent.mkdir(exist_ok=True)
    built.paths.verdict.write_text(json.dumps({**verdict, "broker": True, "version": 3, "lost": 0, "doubled": 0}))
    sent = of(client, "/api/status")["verdict"]
    assert (sent["verdict"], sent["lost"], sent["doubled"], sent["at"]) == ("complete", 0, 0, "2026-11-24T12:00:00Z")


def test_bars_have_prices_as_text_and_the_order_key_of_the_newest_tick(client: TestClient) -> None:
    answer = of(client, "/api/bars?symbol=AAPL&size=1m")
    first, second = answer["bars"]
    assert (first["open"], first["high"], first["low"], first["close"]) == ("100.00", "102.00", "98.00", "99.50")
    assert (first["volume"], first["ticks"], second["close"]) == (40, 4, "101.00")
    assert answer["last"] == [(first["ts"] + 65) * 1_000_000, 0, 0, 4]


def test_bars_of_an_automatic_size_name_it_and_equal_those_of_that_size(client: TestClient) -> None:
    for as_of in ("", "&as_of=1"):
        answer = of(client, f"/api/bars?symbol=AAPL&size=auto{as_of}")
        assert answer["size"] == "1s"
        assert answer == of(client, f"/api/bars?symbol=AAPL&size=1s{as_of}")


def test_bars_as_of_an_earlier_version_lack_later_ticks(client: TestClient) -> None:
    (bar,) = of(client, "/api/bars?symbol=AAPL&size=1m&as_of=1")["bars"]
    assert (bar["low"], bar["ticks"]) == ("99.50", 3)


def test_the_watch_list_has_the_change_of_the_day(client: TestClient) -> None:
    aapl, msft = of(client, "/api/latest")["symbols"]
    assert (aapl["price"], aapl["open"], aapl["change"], aapl["percent"]) == ("101.00", "100.00", "1.00", "1.00")
    assert msft["symbol"] == "MSFT"


def test_history_is_sorted_newest_first(client: TestClient) -> None:
    assert [commit["version"] for commit in of(client, "/api/history?limit=2")["commits"]] == [3, 2]


def test_history_has_the_oldest_version_of_the_log(client: TestClient, built: BuiltLake) -> None:
    assert of(client, "/api/history?limit=1")["oldest"] == 0
    DeltaTable(str(built.paths.ticks)).create_checkpoint()
    (built.paths.ticks / "_delta_log" / f"{0:020d}.json").unlink()
    assert of(client, "/api/history?limit=2")["oldest"] == 1


def test_the_quarantine_can_be_filtered_by_reason(client: TestClient) -> None:
    answer = of(client, "/api/quarantine?reason=price_type")
    assert answer["counts"] == {"price_type": 2}
    assert len(answer["records"]) == 2
    assert of(client, "/api/quarantine?reason=nothing")["records"] == []


def test_the_quarantine_is_counted_without_reading_all_its_records(
    client: TestClient, built: BuiltLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.store([b"no JSON", BAD, BAD])
    read, quarantine = [], Lake.quarantine

    def recorded(*args: Any, **kwargs: Any) -> Result:  # noqa: ANN401
        read.append(quarantine(*args, **kwargs))
        return read[-1]

    monkeypatch.setattr(Lake, "quarantine", recorded)
    answer = of(client, "/api/quarantine?limit=1&reason=price_type")
    assert list(answer["counts"].items()) == [("price_type", 4), ("not_json", 1)]
    assert of(client, "/api/quarantine?limit=1&as_of=1")["counts"] == {"price_type": 1}
    assert [len(result) for result in read] == [1, 1]


def test_sql_returns_json(client: TestClient) -> None:
    query = "SELECT symbol, max(price) AS top, count(*), 9007199254740993 FROM ticks GROUP BY ALL ORDER BY ALL"
    answer = client.post("/api/sql", json={"query": query}).json()
    assert [column["name"] for column in answer["columns"]][:2] == ["symbol", "top"]
    assert answer["rows"] == [["AAPL", "102.00", 5, "9007199254740993"], ["MSFT", "401.00", 2, "9007199254740993"]]


def test_sql_as_csv_contains_no_formula(client: TestClient, built: BuiltLake) -> None:
    built.store([HOSTILE])
    query = "SELECT price, source FROM ticks WHERE source LIKE '=%'"
    answer = client.post("/api/sql", json={"query": query}, headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    names, row = csv.reader(io.StringIO(answer.text))
    assert names == ["price", "source"]
    assert row == ["101.00", "'=cmd|' /C calc'!A0<script>alert(1)</script>"]


def test_sql_is_read_only_and_cut_at_its_limit(client: TestClient) -> None:
    refused = client.post("/api/sql", json={"query": "DROP TABLE ticks"})
    assert refused.status_code == 400
    assert "read-only" in refused.json()["error"]
    answer = client.post("/api/sql", json={"query": "SELECT * FROM range(5000)"}).json()
    assert (len(answer["rows"]), answer["cut"]) == (1000, True)


@pytest.mark.parametrize(
    "address",
    [
        "/api/bars",
        "/api/bars?symbol=AAPL%20",
        "/api/bars?symbol=AAPL&size=7x",
        "/api/bars?symbol=AAPL&limit=100000",
        "/api/latest?as_of=99",
        "/api/history?as_of=yesterday",
        "/api/events?after=-1",
    ],
)
def test_a_bad_request_gets_an_error_message(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_number_too_long_for_python_is_a_bad_request(client: TestClient) -> None:
    digits = "9" * 5_000
    assert client.get("/api/events", headers={"last-event-id": digits}).status_code == 400
    assert client.post("/api/sql", json={"query": "SELECT 1", "as_of": digits}).status_code == 400


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/api/nothing", 404), ("GET", "/nothing.js", 404), ("GET", "/api/sql", 405), ("POST", "/api/status", 405)],
)
def test_an_unknown_address_gets_an_error_message(client: TestClient, method: str, address: str, status: int) -> None:
    answer = client.request(method, address)
    assert answer.status_code == status
    assert address in answer.json()["error"]
    assert ("allow" in answer.headers) == (status == 405)


def test_a_server_failure_gets_an_error_message(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lake, "quarantine", None)
    dashboard = Dashboard(built.paths)
    with TestClient(dashboard.app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        answer = client.get("/api/quarantine")
    assert answer.status_code == 500
    assert "has failed" in answer.json()["error"]


def test_without_a_lake_the_page_is_served_and_the_status_says_so(tmp_path: Path) -> None:
    with TestClient(Dashboard(LakePaths(tmp_path / "none")).app, base_url="http://localhost") as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/latest").status_code == 404
        status = of(client, "/api/status")
    assert status["version"] is None
    assert "`make local`" in status["problem"]


# ---- refused requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/main.js", "/api/status", "/api/bars", "/nothing"])
def test_every_response_has_the_security_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.1.1:8050"])
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/status", headers={"host": host}).status_code == 400


def test_the_host_name_may_be_an_ipv6_address(built: BuiltLake) -> None:
    dashboard = Dashboard(built.paths, [in_url("::1")])
    with TestClient(dashboard.app, base_url="http://[::1]:8050") as client:
        assert client.get("/api/status").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_is_refused(client: TestClient, site: str) -> None:
    assert client.get("/api/status", headers={"sec-fetch-site": site}).status_code == 403


def test_a_query_must_be_sent_as_json(client: TestClient) -> None:
    form = client.post("/api/sql", content='{"query": "SELECT 1"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert client.post("/api/sql", json={"text": "SELECT 1"}).status_code == 400


def test_large_requests_are_refused(client: TestClient) -> None:
    assert client.post("/api/sql", json={"query": "x" * MAX_BODY_BYTES}).status_code == 413
    assert client.get("/api/bars?symbol=" + "A" * 5000).status_code == 414


def test_a_body_without_a_length_is_refused(client: TestClient) -> None:
    assert client.post("/api/sql", content=iter([b"{}"]), headers={"content-type": "application/json"}).status_code == 413


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotServeError, match=f"Port {port} on 127.0.0.1 cannot be used"):
            bind("127.0.0.1", port)


# ---- event stream ----------------------------------------------------------------------------------------------------


class Viewer:
    """Reads a stream of events."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        self._messages = messages

    async def next(self, name: str) -> tuple[str | None, Any]:
        """Wait for the next event of that name, skipping statuses; return its id and data."""
        async with asyncio.timeout(5):
            async for text in self._messages:
                fields = dict(line.split(": ", 1) for line in text.decode().strip().splitlines())
                if fields.get("event") == name:
                    return fields.get("id"), json.loads(fields["data"])
                assert fields.get("event") in {None, "status"}, fields
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def watching(paths: LakePaths[Path]) -> AsyncIterator[CommitFeed]:
    feed = CommitFeed(paths, Engine(), dict)
    watcher = asyncio.create_task(feed.watch())
    while not feed.lake and paths.ticks.exists():  # noqa: ASYNC110 (the feed sets no event for a test)
        await asyncio.sleep(0.01)
    yield feed
    watcher.cancel()


def play(story: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(story())


def test_a_viewer_gets_each_version_once_and_in_order(built: BuiltLake) -> None:
    async def story() -> None:
        async with watching(built.paths) as feed:
            viewer = Viewer(feed.messages(None, None))
            assert (await viewer.next("reset"))[1]["version"] == 3
            for number in range(4, 9):
                built.store(numbered(2, first=number))
                event_id, commit = await viewer.next("commit")
                assert event_id == str(number) == str(commit["version"])
                assert commit["rows"] == 2

    play(story)


def test_a_reconnecting_viewer_resumes_after_its_version_even_after_a_restart(built: BuiltLake) -> None:
    for number in range(5):
        built.store(numbered(1, first=number))

    async def story() -> None:
        async with watching(built.paths) as feed:  # a server that has seen none of these commits
            viewer = Viewer(feed.messages(feed.lake, 4))
            assert [(await viewer.next("commit"))[0] for _ in range(4)] == ["5", "6", "7", "8"]
            viewer = Viewer(feed.messages(None, 7))
            assert (await viewer.next("commit"))[0] == "8"

    play(story)


def test_a_commit_event_has_the_bars_of_its_ticks(built: BuiltLake) -> None:
    built.store([tick("AAPL", 103.25, 70, size=7), tick("AAPL", 102, 70.5, size=2), tick("IBM", 0.00000001, 71)])

    async def story() -> None:
        async with watching(built.paths) as feed:
            _, commit = await Viewer(feed.messages(feed.lake, 3)).next("commit")
        aapl, ibm = commit["bars"]
        assert aapl[0] == "AAPL"
        assert aapl[4:] == ["103.25", "103.25", "102.00", "102.00", 9, 2, 926.75]
        assert ibm[4] == "0.00000001"
        assert commit["total"] == 10

    play(story)


def test_volumes_of_a_commit_are_encoded_as_in_bars(built: BuiltLake) -> None:
    exact, too_large = 2**53 + 1, 2**62
    sizes = [exact, too_large, too_large]
    built.store([tick(symbol, 1, 70, size=size) for symbol, size in zip(("IBM", "ORCL", "ORCL"), sizes, strict=True)])

    async def story() -> None:
        async with watching(built.paths) as feed:
            _, commit = await Viewer(feed.messages(feed.lake, 3)).next("commit")
        assert [bar[8] for bar in commit["bars"]] == [str(exact), None]

    play(story)
    with TestClient(Dashboard(built.paths).app, base_url="http://127.0.0.1") as client:
        bars = [of(client, f"/api/bars?symbol={symbol}")["bars"][0] for symbol in ("IBM", "ORCL")]
        sent = [entry["size"] for entry in of(client, "/api/latest")["symbols"] if entry["symbol"] in {"IBM", "ORCL"}]
    assert [bar["volume"] for bar in bars] == [str(exact), None]
    assert sent == [str(exact), str(too_large)]


def test_a_viewer_too_far_behind_or_of_another_lake_gets_a_reset(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "MAX_CATCH_UP_COMMITS", 2)

    async def story() -> None:
        async with watching(built.paths) as feed:
            for lake, after in ((feed.lake, 0), (feed.lake, 99), ("another", 3), (None, None)):
                event_id, data = await Viewer(feed.messages(lake, after)).next("reset")
                assert (event_id, data) == ("3", {"lake": feed.lake, "version": 3})

    play(story)


def test_a_viewer_whose_versions_were_removed_from_the_log_gets_a_reset(built: BuiltLake) -> None:
    for number in (1, 2):
        (built.paths.ticks / "_delta_log" / f"{number:020d}.json").unlink()

    async def story() -> None:
        async with watching(built.paths) as feed:
            assert (await Viewer(feed.messages(feed.lake, 1)).next("reset"))[0] == "3"

    play(story)


def test_a_new_lake_sends_a_reset(tmp_path: Path) -> None:
    async def story() -> None:
        async with watching(LakePaths(tmp_path / "data")) as feed:
            viewer = Viewer(feed.messages(None, None))
            assert (await viewer.next("reset"))[1]["version"] is None
            lake = BuiltLake(tmp_path / "data")
            assert (await viewer.next("reset"))[1]["version"] == 0
            lake.store(numbered(3))
            assert (await viewer.next("commit"))[1]["rows"] == 3

    play(story)


def test_a_commit_that_removes_rows_makes_viewers_reload(built: BuiltLake) -> None:
    DeltaTable(str(built.paths.table(TICKS))).delete("symbol = 'MSFT'")

    async def story() -> None:
        async with watching(built.paths) as feed:
            _, commit = await Viewer(feed.messages(feed.lake, 3)).next("commit")
        assert commit["reload"]
        assert commit["bars"] == []

    play(story)


def test_maintenance_changes_neither_candles_nor_figures(built: BuiltLake) -> None:
    Heartbeat(heartbeat_file(built.paths.root, "spark-job"), 60).beat()  # or the lag would grow
    with TestClient(Dashboard(built.paths).app, base_url="http://127.0.0.1") as client:
        before = of(client, "/api/status")
        sort(built)
        after = of(client, "/api/status")
        newest, _ = of(client, "/api/history?limit=2")["commits"]
    assert (after.pop("version"), before.pop("version")) == (4, 3)
    assert [after[name] for name in ("rows", "quarantined")] == [before[name] for name in ("rows", "quarantined")]
    assert after["lag"] >= before["lag"]  # nothing has come meanwhile
    assert [newest[name] for name in ("operation", "total", "files_added", "files_removed")] == ["sorted", 7, 1, 3]

    async def story() -> None:
        async with watching(built.paths) as feed:
            _, commit = await Viewer(feed.messages(feed.lake, 3)).next("commit")
        assert (commit["reload"], commit["rows"], commit["total"], commit["operation"]) == (False, 0, 7, "sorted")

    play(story)


def sort(built: BuiltLake) -> None:
    """Let the job's maintenance sort the lake's date as if it were closed."""
    Maintenance(built.paths, built.writer, nullcontext, structlog.get_logger(), lambda: date(2026, 12, 1)).all()


def test_each_commit_is_computed_once_for_all_viewers(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def recorded(paths: LakePaths, engine: Engine, version: int) -> object:
        computed.append(version)
        return change(paths, engine, version)

    monkeypatch.setattr(feeding, "change", recorded)

    async def story() -> None:
        async with watching(built.paths) as feed:
            viewers = [Viewer(feed.messages(feed.lake, 3)) for _ in range(50)]
            for number in range(5):
                built.store(numbered(1, first=number))
            for version in range(4, 9):
                events = await asyncio.gather(*(viewer.next("commit") for viewer in viewers))
                assert {event_id for event_id, _ in events} == {str(version)}
            assert feed.viewers == 50
        assert sorted(computed) == [4, 5, 6, 7, 8]

    play(story)


def test_streams_end_when_the_server_stops(built: BuiltLake) -> None:
    async def story() -> None:
        async with watching(built.paths) as feed:
            seen = []
            async for text in feed.messages(feed.lake, 3):
                seen.append(text)
                feed.close()
        assert seen

    play(story)


# ---- history, lines and cancelling -------------------------------------------------------------------------------------


def test_bars_before_and_from_a_time(client: TestClient) -> None:
    first, second = of(client, "/api/bars?symbol=AAPL&size=1m")["bars"]
    earlier = of(client, f"/api/bars?symbol=AAPL&size=1m&before={second['ts']}")
    assert (earlier["bars"], earlier["more"], earlier["last"]) == ([first], False, None)
    newest = of(client, "/api/bars?symbol=AAPL&size=1m")["last"]
    later = of(client, f"/api/bars?symbol=AAPL&size=1m&begin={second['ts']}")
    assert (later["bars"], later["more"], later["last"]) == ([second], False, newest)
    part = of(client, f"/api/bars?symbol=AAPL&size=1m&begin={first['ts']}&limit=1")
    assert (part["bars"], part["more"], part["last"]) == ([first], True, None)
    for wrong in ("before=noon", "begin=-1", "before=99999999999999"):
        assert "is not a time in seconds" in client.get(f"/api/bars?symbol=AAPL&{wrong}").json()["error"]


def test_the_change_is_against_the_previous_close(client: TestClient, built: BuiltLake) -> None:
    built.store([tick("AAPL", 90, -86_400), tick("AAPL", 80, -86_400 + 60)])
    aapl, msft = of(client, "/api/latest")["symbols"]
    assert (aapl["against"], aapl["base"], aapl["change"], aapl["percent"]) == ("close", "80.00", "21.00", "26.25")
    assert (msft["against"], msft["base"]) == ("open", "400.00")


def test_sparklines_have_the_closes_of_the_last_day(client: TestClient) -> None:
    answer = of(client, "/api/sparklines?symbol=AAPL&symbol=MSFT")
    assert [close for _, close in answer["lines"]["AAPL"]] == ["99.50", "101.00"]
    assert [close for _, close in answer["lines"]["MSFT"]] == ["400.00", "401.00"]
    assert of(client, "/api/sparklines")["lines"] == {}
    assert client.get("/api/sparklines?" + "symbol=A&" * 101).status_code == 400


def test_the_quarantine_has_a_timeline(client: TestClient) -> None:
    timeline = of(client, "/api/quarantine")["timeline"]
    assert sum(records for _, _, records in timeline["bars"]) == 2
    assert {reason for _, reason, _ in timeline["bars"]} == {"price_type"}


def test_the_schema_is_what_a_query_sees(client: TestClient) -> None:
    tables = of(client, "/api/schema")["tables"]
    for table, columns in tables.items():
        answer = client.post("/api/sql", json={"query": f"DESCRIBE {table}"})
        assert [row[:2] for row in answer.json()["rows"]] == [[column["name"], column["type"]] for column in columns]
    assert set(tables) == {"ticks", "quarantine", "bars_1m", "latest"}


def test_the_page_loads_its_modules_at_once_and_is_small() -> None:
    modules = {path.name: path.read_text() for path in PAGE.glob("*.js")}
    needed, found = {"main.js"}, {"main.js"}
    while found:
        found = {name for module in found for name in re.findall(r'from "\./([a-z_]+\.js)"', modules[module])} - needed
        needed |= found
    preloaded = set(re.findall(r'rel="modulepreload" href="([a-z_]+\.js)"', (PAGE / "index.html").read_text()))
    assert preloaded == needed - {"main.js"}
    size = sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file() and path.suffix != ".LICENSE")
    assert size < MAX_PAGE_BYTES


def test_a_query_can_be_cancelled(lake: Lake) -> None:
    cancel = Cancel()
    threading.Timer(1.0, cancel).start()
    began = time.monotonic()
    with pytest.raises(QueryError, match="was cancelled"):
        lake.sql("SELECT count(*) FROM range(100000000000) AS a(x), range(1000) AS b(y) WHERE x + y = -1", cancel=cancel)
    assert time.monotonic() - began < 20
    assert len(lake.sql("SELECT 1 AS one")) == 1
