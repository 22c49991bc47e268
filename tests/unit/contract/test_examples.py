"""The golden values and kafka/README.md agree with the code."""

import re
from pathlib import Path

import pytest

import finance_contract
from finance_contract import Malformed, Reason, decode, examples

FOLDER = Path(finance_contract.__file__).parent
README = FOLDER.parent / "README.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| (?:`(.+)`)?", re.MULTILINE)


def malformed_section() -> list[tuple[str, str]]:
    return ROW.findall(README.read_text().partition("## Malformed records")[2])


@pytest.mark.parametrize(("reason", "value"), examples.malformed().items())
def test_every_malformed_example_yields_its_reason(reason: Reason, value: bytes | None) -> None:
    with pytest.raises(Malformed) as caught:
        decode(value)
    assert caught.value.reason is reason


def test_every_reason_has_one_malformed_example_and_there_is_no_other_file() -> None:
    of_values = [reason for reason in Reason if reason is not Reason.TIMESTAMP_RANGE]
    assert list(examples.malformed()) == of_values
    files = {path.name for path in (FOLDER / "examples" / "malformed").iterdir()}
    assert files == {f"{reason}.bin" for reason in of_values} - {"tombstone.bin", "too_long.bin"}


@pytest.mark.parametrize("value", examples.valid().values(), ids=examples.valid())
def test_every_valid_example_is_a_tick(value: bytes) -> None:
    assert decode(value).symbol


def test_the_minimal_example_has_only_symbol_and_price() -> None:
    assert examples.valid()["minimal"] == b'{"symbol": "AAPL", "price": 174.5}'


def test_the_readme_lists_every_reason_in_its_order() -> None:
    assert [code for code, _ in malformed_section()] == list(Reason)


@pytest.mark.parametrize(("code", "example"), [row for row in malformed_section() if row[1] and "..." not in row[1]])
def test_every_example_in_the_readme_yields_its_reason(code: str, example: str) -> None:
    if code == "invalid_utf8":
        pytest.skip("its example in the table is the name of a byte")
    with pytest.raises(Malformed) as caught:
        decode(example.encode())
    assert caught.value.reason == code
