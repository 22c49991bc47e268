"""The pictures in docs/img are up to date with their script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "img"
SVG = "{http://www.w3.org/2000/svg}"
PIXELS_PER_CHARACTER = 7.2  # for the larger text, in a wide font


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw the pictures with a copy of the script."""
    folder = tmp_path_factory.mktemp("img")
    (folder / "architecture.py").write_text((IMAGES / "architecture.py").read_text())
    subprocess.run([sys.executable, folder / "architecture.py"], check=True)
    return folder


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_architecture_picture_is_up_to_date(drawn: Path, theme: str) -> None:
    name = f"architecture-{theme}.svg"
    assert (IMAGES / name).read_text() == (drawn / name).read_text()


def test_no_text_exceeds_the_picture(drawn: Path) -> None:
    picture = ElementTree.parse(drawn / "architecture-light.svg").getroot()  # noqa: S314 (our own)
    width = float(picture.attrib["viewBox"].split()[2])
    for text in picture.iter(f"{SVG}text"):
        assert float(text.attrib["x"]) + PIXELS_PER_CHARACTER * len(text.text or "") < width, text.text
