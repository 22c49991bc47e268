"""Files in the shapes of well-known vendors are read exactly; what only the user knows is refused with its option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_contract import Tick, decode
from finance_lake.cli.app import app
from finance_local.importing.command import import_files
from finance_producer.reading.encode import encoded
from finance_producer.reading.reader import read
from finance_producer.reading.settings import options_of
from tests.support.imports import Stored
from tests.support.vendors import BAD_FILES, VENDORS, Bad, Vendor

if TYPE_CHECKING:
    from pathlib import Path

NONE = dict.fromkeys(
    ("mapped", "ignored", "symbol", "ohlc", "delimiter", "encoding", "decimal_mark", "date_order", "time_unit", "time_zone"), ""
) | {"decimals": None, "price_scale": "", "size_scale": ""}
FIELDS = {"--map": "mapped", "--dates": "date_order"}


@pytest.fixture(scope="module", autouse=True)
def command() -> None:
    if "import" not in {registered.name for registered in app.registered_commands}:
        app.command("import")(import_files)


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *arguments])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def _chosen(options: tuple[str, ...]) -> dict[str, object]:
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    named = {FIELDS.get(name, name.removeprefix("--").replace("-", "_")): value for name, value in pairs.items()}
    return NONE | {name: int(value) if name == "decimals" else value for name, value in named.items()}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_a_vendors_file_is_read_to_the_digit_and_the_nanosecond(vendor: Vendor, tmp_path: Path) -> None:
    ticks: list[Tick] = []
    left_out: list[str] = []
    for block in read(vendor.write(tmp_path), options_of(_chosen(vendor.options))).converted:
        ticks += [decode(value) for value in encoded(block.ticks, "test", len(ticks)).values]
        left_out += [reason.partition(":")[0] for _, reason in block.left_out]
    assert [Stored(tick.symbol, tick.price, tick.size, tick.ts_event) for tick in ticks] == vendor.ticks
    assert left_out == vendor.left_out


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor.refusal], ids=lambda vendor: vendor.name)
def test_without_its_options_it_is_refused_with_what_mends_it(vendor: Vendor, tmp_path: Path) -> None:
    code, _, message = _run(str(vendor.write(tmp_path)), "--yes", "--data", str(tmp_path / "none"))
    assert code == 2
    assert vendor.refusal in message


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_with_what_mends_it(bad: Bad, tmp_path: Path) -> None:
    file = tmp_path / bad.name
    file.write_bytes(bad.content)
    code, _, message = _run(str(file), "--yes", "--data", str(tmp_path / "none"))
    assert code == 2
    assert bad.message in message
    assert "Traceback" not in message


def test_a_dry_run_shows_what_would_be_stored(tmp_path: Path) -> None:
    vendor = next(vendor for vendor in VENDORS if vendor.name == "refinitiv.csv")
    code, shown, _ = _run(str(vendor.write(tmp_path)), "--dry-run")
    assert code == 0
    for part in (
        "refinitiv.csv: CSV, utf-8, cells separated by comma",
        "symbol=#RIC, price=Price, ts_event=Date-Time, size=Volume",
        "Domain, GMT Offset, Type, Qualifiers",
        "1 rows give 1 ticks",
        "2024-01-05 14:30:00.123456789 UTC",
        "left out: price_missing 1 rows, first line 3: empty",
    ):
        assert part in shown
    assert not (tmp_path / "refinitiv.csv.left-out.csv").exists()
