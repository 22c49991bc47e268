"""Take the README's screenshots of the dashboard: `python -m tests.browser.pictures` writes them to docs/img/."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.story import trades
from tests.support.live_dashboard import ROOT, LiveLake, chromium, serving

FOLDER = ROOT / "docs" / "img"
MINUTES = 110
SETTLE_MS = 700
WIDE = {"width": 1280, "height": 760}
PHONE = {"width": 390, "height": 844}


def main() -> None:
    """Write the screenshots."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright, chromium(playwright) as browser:
        lake = _market(Path(scratch) / "data")
        with serving(lake.paths.root) as (address, _):
            for name, page, scheme, size in (
                ("dashboard-light", "chart", "light", WIDE),
                ("dashboard-dark", "chart", "dark", WIDE),
                ("dashboard-phone", "chart", "light", PHONE),
                ("dashboard-sql", "sql", "light", WIDE),
                ("dashboard-quarantine", "quarantine", "dark", WIDE),
            ):
                opened = browser.new_page(color_scheme=scheme, viewport=size)  # type: ignore[arg-type]
                opened.goto(f"{address}/?symbol=AAPL&size=1m&averages=on&plot=on#{page}")
                opened.wait_for_selector('#candles:not([data-bars="0"])', state="attached")
                if page == "sql":
                    opened.locator("#schema summary").first.wait_for()
                    opened.get_by_role("button", name="Run").click()
                    opened.locator("#result td").first.wait_for()
                if page == "chart" and size is WIDE:
                    opened.locator("#watch polyline").first.wait_for(state="attached")
                opened.wait_for_timeout(SETTLE_MS)
                opened.screenshot(path=FOLDER / f"{name}.png")
                opened.close()
        with serving(Path(scratch) / "nothing") as (address, _):
            opened = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
            opened.goto(address)
            opened.locator("#why:not(:empty)").wait_for()
            opened.locator("#why").evaluate(
                "node => { node.textContent = node.textContent.replace(/at \\S+ yet/, 'at data yet'); }"
            )
            opened.screenshot(path=FOLDER / "dashboard-empty.png")
    print("\n".join(sorted(str(path.relative_to(ROOT)) for path in FOLDER.glob("dashboard-*.png"))))


def _market(folder: Path) -> LiveLake:
    lake, now = LiveLake(folder), datetime.now(UTC)
    for minute, records in enumerate(trades(now, MINUTES), start=1):
        lake.add(records, now - timedelta(minutes=MINUTES - minute))
    lake.paths.verdict.parent.mkdir(exist_ok=True)
    verdict = {"verdict": "complete", "code": 0, "sentence": "complete", "at": now.isoformat(), "broker": True}
    lake.paths.verdict.write_text(json.dumps({**verdict, "version": MINUTES, "lost": 0, "doubled": 0}))
    return lake


if __name__ == "__main__":
    main()
