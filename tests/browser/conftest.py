"""Fixtures: a browser, a lake that grows, and a dashboard that serves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.live_dashboard import CHROMIUM, SYMBOLS, LiveLake, chromium, looking_at, serving, tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

expect.set_options(timeout=30_000)  # other tests run beside these


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests, with a reason, if there is no browser."""
    if CHROMIUM is None:
        for item in items:
            if "browser" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no Chromium here: `apt-get install chromium`"))


@pytest.fixture(scope="module")  # while it lives, no other test of the process can run an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, chromium(playwright) as started:
        yield started


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LiveLake:
    """Make a lake whose versions 1 to 3 hold three minutes of all symbols; the tests of a module add to it."""
    made = LiveLake(tmp_path_factory.mktemp("lake") / "data")
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for minute in (3, 2, 1):
        at = end - timedelta(minutes=minute)
        prices = ((symbol, f"{cents / 100 + 3 - minute:.2f}") for symbol, cents in SYMBOLS.items())
        made.add([tick(symbol, price, at, 10) for symbol, price in prices], at)
    return made


@pytest.fixture(scope="module")
def address(lake: LiveLake) -> Iterator[str]:
    with serving(lake.paths.root) as (where, _):
        yield where


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Open the dashboard."""
    with looking_at(address, browser) as opened:
        yield opened
