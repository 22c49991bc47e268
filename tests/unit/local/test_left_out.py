"""The list of rows left out: where it is, what it replaces, and that it can be written before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from finance_local.importing.files import regular
from finance_local.importing.left_out import LeftOut, prepare_lists
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_list_is_there_only_if_a_row_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "trades.csv.left-out.csv"
    for number in (2, 1, 0):
        prepare_lists([file])
        assert not file.exists()
        left_out = LeftOut(file)
        for line in range(number):
            left_out.add(line, "price_missing: empty")
        left_out.close()
        assert len(file.read_text().splitlines() if file.exists() else []) == (number + 1 if number else 0)


def test_a_file_that_is_no_list_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "trades.csv"
    file.write_text("symbol,price\n")
    with pytest.raises(RequestError, match=r"trades\.csv is not a list of rows left out.*--left-out names another file"):
        prepare_lists([file])
    assert file.read_text() == "symbol,price\n"


def test_the_list_of_a_killed_import_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.touch()
    prepare_lists([file])
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_named_with_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, why in ((tmp_path / "file" / "list.csv", "Not a directory"), (tmp_path / "none" / "list.csv", "No such file")):
        with pytest.raises(RequestError, match=rf"{why}.*--left-out FILE.* names another place"):
            prepare_lists([place])


def test_two_files_have_two_lists(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="two files leave out"):
        prepare_lists([tmp_path / "list.csv"] * 2)


@pytest.mark.parametrize(
    ("chosen", "place"),
    [(None, "trades.csv.left-out.csv"), ("list.csv", "list.csv"), ("lists", "lists/trades.csv.left-out.csv")],
)
def test_the_list_is_beside_the_file_or_where_the_user_says(tmp_path: Path, chosen: str | None, place: str) -> None:
    (tmp_path / "lists").mkdir()
    with regular(tmp_path / "trades.csv", tmp_path, tmp_path / chosen if chosen else None) as file:
        assert file.left_out == tmp_path / place
