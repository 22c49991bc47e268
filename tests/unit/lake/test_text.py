"""Text that a spreadsheet would run as a formula, in exports and in downloads."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_lake.dashboard.json_encoding import as_csv
from finance_lake.export import write
from finance_role.text import inert

RUN = [
    *("=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "\x00=1", "\x0b=1", "\x1f=1", "\x7f=1", "\x85=1"),
    *("\N{FULLWIDTH EQUALS SIGN}1", "\N{FULLWIDTH PLUS SIGN}1", "\N{FULLWIDTH HYPHEN-MINUS}1", "\N{FULLWIDTH COMMERCIAL AT}x"),
    *("\N{SMALL PLUS SIGN}1", "\N{SUPERSCRIPT EQUALS SIGN}1", " =1", "\N{NO-BREAK SPACE}=1", "\N{ZERO WIDTH SPACE}=1"),
    *("\N{ZERO WIDTH NO-BREAK SPACE}=1", "\N{RIGHT-TO-LEFT OVERRIDE}=1", "\N{IDEOGRAPHIC SPACE}@x", "\n\n \t\N{SOFT HYPHEN}-1"),
    *("\n", "\x00", "\r\nx"),
]
HARMLESS = ["", "a", "1", "AAPL", "a=1", "'=1", "(=1)", " a", "\N{GREEK SMALL LETTER ALPHA}", "[1, -2]", '"=1"']
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(RUN + HARMLESS)


@pytest.mark.parametrize("text", RUN, ids=ascii)
def test_text_that_would_run_gets_an_apostrophe(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_other_text_is_unchanged(text: str) -> None:
    assert inert(text) == text


SIGNS = [sign for sign in map(chr, range(0x2A00)) if unicodedata.normalize("NFKC", sign)[:1] in tuple("=+-@")]


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_every_width_of_a_sign_counts(sign: str) -> None:
    assert inert(f"{sign}1") == f"'{sign}1"


@given(texts=st.lists(TEXT, min_size=1, max_size=8))
@settings(deadline=None)
def test_an_export_and_a_download_have_the_same_fields(texts: list[str]) -> None:
    table = pa.table({"n": list(range(len(texts))), "text": texts})
    expected = [["n", "text"], *([str(number), inert(text)] for number, text in enumerate(texts))]
    downloaded = as_csv(table, 10**6).decode()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "x.csv", table.schema, table.to_batches())
        exported = (Path(folder) / "x.csv").read_bytes().decode()
    for text in (downloaded, exported):
        assert list(csv.reader(io.StringIO(text, newline=""))) == expected


@given(text=TEXT, delimiter=st.sampled_from(";\t|"))
def test_other_delimiters_do_not_split_a_field(text: str, delimiter: str) -> None:
    lines = as_csv(pa.table({"text": [text]}), 10**6).decode()
    assert list(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter))[1:] == [[inert(text)]]
