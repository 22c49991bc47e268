"""The tutorial notebook: each cell runs, on the lake of tests/support/market.py."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from finance_verify.verdict import Code
from tests.support import lakes
from tests.support.market import market

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

NOTEBOOK = Path("lake/finance_lake/notebook.py").resolve()


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    market(folder / "data")
    return folder


def notebook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(data: Path) -> dict[str, Any]:
    """Run every cell; return the variables that they define."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(data))
        _, defined = notebook().app.run()
    return dict(defined)


@pytest.fixture(scope="module")
def names(morning: Path) -> dict[str, Any]:
    return run(morning / "data")


def test_every_cell_runs_and_shows_the_lake(names: dict[str, Any]) -> None:
    assert names["version"] == names["lake"].version
    assert names["latest"]["symbol"].to_list() == ["AAPL", "IBM", "MSFT"]
    assert names["busiest"]["ticks"].sum() == names["lake"].count()
    assert names["bars"]["ticks"].sum() == dict(names["busiest"].select("symbol", "ticks").rows())["AAPL"]
    assert names["chart"].count("<rect") == len(names["bars"])
    labels = re.findall(r"<text [^>]*>([^<]+)</text>", names["chart"])
    low, high = names["bars"]["low"].min(), names["bars"]["high"].max()
    assert {f"{low:.2f}", f"{high:.2f}"} <= set(labels)
    assert f"{names['bars']['ts'][0]:%H:%M}" in labels
    assert 'fill="currentColor"' in names["chart"]
    assert isinstance(names["spread"]["spread"][0], Decimal)
    assert names["rows"] < names["lake"].count()
    assert names["report"].code is Code.COMPLETE


def test_the_page_is_dark_where_the_system_is() -> None:
    from marimo._config.manager import ScriptConfigReader  # noqa: PLC0415 (what marimo itself reads)

    assert ScriptConfigReader(str(NOTEBOOK)).read()["display"]["theme"] == "system"


def test_record_contents_are_shown_escaped(names: dict[str, Any]) -> None:
    shown = names["malformed"].text
    assert "\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_a_record_that_looks_like_html_is_shown_as_text(names: dict[str, Any]) -> None:
    assert "<script" not in names["mo"].plain_text("text/html:<script src=http://127.0.0.1/a.js></script>").text
    assert type(names["malformed"]) is type(names["mo"].plain_text(""))


def test_a_lake_of_another_topic_is_verified_by_its_own_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "TOPIC", "trades")
    market(tmp_path / "data")
    assert run(tmp_path / "data")["report"].code is Code.COMPLETE


def test_the_notebook_runs_as_a_script(morning: Path) -> None:
    ended = subprocess.run([sys.executable, NOTEBOOK], cwd=morning, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_the_command_and_frees_its_port(morning: Path, number: signal.Signals) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux signals a child when its parent dies")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "finance_lake",
        "notebook",
        "--no-browser",
        "--port",
        str(port),
        "--data",
        str(morning / "data"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as notebook:
        until(lambda: answers(port))
        with urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
            assert b'"showAppCode": true' in page.read(), "the page must show the notebook's code"
        notebook.send_signal(number)
        notebook.wait(30)
        until(lambda: not answers(port))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)
