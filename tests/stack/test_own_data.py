"""docs/OWN-DATA.md: its commands run, vendors' files arrive exactly, and an analyst gets from a file to a chart of returns."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.imports import FINANCELAKE, environment, financelake, stored
from tests.support.live_dashboard import CHROMIUM, chromium, looking_at, serving
from tests.support.vendors import VENDORS

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

PAGE = (Path(__file__).parents[2] / "docs" / "OWN-DATA.md").read_text()
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MINUTE_NS = 60 * 10**9
OPEN_NS = 1_704_465_000 * 10**9


def _blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(PAGE) if kind == language]


def _trades(file: Path, symbol: str, minutes: int, *, named: bool = True, first_ns: int = OPEN_NS) -> None:
    """Write two trades a minute, the second of which is the close; separated by tabs if the file's name says so."""
    rows = [
        (f"{symbol}," if named else "") + f"{100 + minute}.{25 * place:02},10,{first_ns + minute * MINUTE_NS + place}"
        for minute in range(minutes)
        for place in range(2)
    ]
    header = ("symbol," if named else "") + "price,size,timestamp"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows]) + "\n"
    file.write_text(text.replace(",", "\t") if file.suffix == ".tsv" else text)


@pytest.mark.filterwarnings("ignore:The locs attribute was deprecated")  # pandas 2 uses it when it draws
def test_an_analyst_gets_from_a_file_to_a_chart_of_returns_and_the_page(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.make_topic().run("spark-job").wait_for("Running:")
    _trades(tmp_path / "trades.csv", "AAPL", 30)
    _trades(tmp_path / "ticks" / "later.tsv", "MSFT", 3)
    _trades(tmp_path / "ticks" / "deep" / "earlier.csv", "IBM", 2, first_ns=OPEN_NS - 1)
    _trades(tmp_path / "ticks" / "a.csv", "A", 2, first_ns=OPEN_NS + 1)
    _trades(tmp_path / "more.csv", "SPY", 5, named=False)

    for line in "\n".join(_blocks("bash")).splitlines():
        command = re.sub(r"\bfinancelake\b", shlex.quote(FINANCELAKE), line)
        if "SOURCE" in command:
            listed = json.loads(financelake(stack, "sources", "--json").stdout)
            command = command.replace("SOURCE", min(row["source"] for row in listed))
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment(stack),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{line}: {run.stdout}{run.stderr}"

    assert {tick.symbol for tick in stored(stack)} == {"AAPL", "MSFT", "IBM", "A", "SPY"}
    listed = json.loads(financelake(stack, "sources", "--json").stdout)
    names = [row["source"].rpartition("-")[0] for row in listed]
    # A folder's files are in the order of time; the last one is the file that was imported again.
    assert names[:-1] == ["trades.csv", "earlier.csv", "later.tsv", "a.csv", "stdin"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setenv("MPLBACKEND", "Agg")  # no window
    namespace: dict[str, Any] = {}
    for code in _blocks("python"):
        exec(code, namespace)  # noqa: S102 (our own page)
    expected = [(100.25 + minute) / (99.25 + minute) - 1 for minute in range(1, 30)]
    assert namespace["returns"].tolist() == pytest.approx(expected)
    assert namespace["chart"].get_lines()[0].get_ydata().tolist() == pytest.approx(expected)
    assert (tmp_path / "returns.png").read_bytes().startswith(b"\x89PNG")

    if CHROMIUM is None:
        pytest.skip("no Chromium here, so the page is not opened: `apt-get install chromium`")
    link = re.search(r"`http://127.0.0.1:8050(/\S+)`", PAGE)
    assert link
    with (
        serving(stack.paths.root) as (address, _),
        sync_playwright() as playwright,
        chromium(playwright) as browser,
        looking_at(address, browser) as page,
    ):
        page.goto(address + link[1])
        candles = page.locator("#candles")
        expect(candles).to_have_attribute("data-symbol", "AAPL", timeout=30_000)
        expect(candles).to_have_attribute("data-bars", "30", timeout=30_000)
        expect(candles).to_have_attribute("data-close", "129.25")
        expect(candles).to_have_attribute("data-oldest", str(OPEN_NS // 10**9))


def test_vendors_files_arrive_to_the_digit_and_the_nanosecond(stack: Stack, tmp_path: Path) -> None:
    job = stack.make_topic().run("spark-job")
    job.wait_for("Running:")
    for vendor in VENDORS:
        run = financelake(stack, "import", vendor.write(tmp_path), *vendor.options, "--yes")
        assert run.returncode == 0, f"{vendor.name}: {run.stdout}{run.stderr}"
        source = re.search(r"Source: (\S+)", run.stdout)
        assert source, run.stdout
        assert stored(stack, source[1]) == vendor.ticks, vendor.name
        assert f"{len(vendor.left_out):,} left out" in run.stdout
    listed = financelake(stack, "sources", "--json")
    assert [row["state"] for row in json.loads(listed.stdout)] == ["complete"] * len(VENDORS)

    exported = financelake(stack, "export", "ticks.parquet")
    assert exported.returncode == 0, exported.stderr
    again = financelake(stack, "import", "ticks.parquet", "--yes")
    source = re.search(r"Source: (\S+)", again.stdout)
    assert source, again.stdout + again.stderr
    assert sorted(stored(stack, source[1]), key=str) == sorted((tick for vendor in VENDORS for tick in vendor.ticks), key=str)
    assert job.stop() == 0
    stack.assert_proven()


def test_the_page_has_each_vendors_options() -> None:
    for vendor in VENDORS:
        options = re.sub(r"'", "", shlex.join(vendor.options))
        table = [set(re.findall(r"--[a-z-]+ [^ |`]+", row)) for row in PAGE.splitlines() if row.startswith("|")]
        assert set(re.findall(r"--[a-z-]+ [^ ]+", options)) in table, vendor.name


def test_a_named_pipe_is_read_to_its_end_first(stack: Stack, tmp_path: Path) -> None:
    stack.make_topic().run("spark-job").wait_for("Running:")
    _trades(tmp_path / "trades.csv", "AAPL", 4)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((tmp_path / "trades.csv").read_bytes()))
    writer.start()
    run = financelake(stack, "import", pipe, "--yes")
    writer.join()
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(stored(stack)) == 8
    again = financelake(stack, "import", "trades.csv", "--yes")
    assert "trades.csv is in the lake already, as pipe.csv-" in again.stderr
