"""A file is known by its bytes and by how it is read, whatever it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from finance_contract.tick import SOURCE
from finance_producer.importing.identity import identity_of, sha256_of
from finance_producer.reading.frames import Described

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED = Described("CSV", "none", "utf-8", "comma", {"price": "p", "symbol": "s"}, "", [], "decimal point", "", "", 1, False)  # noqa: FBT003


def test_name_and_unused_columns_do_not_matter_but_bytes_and_mapping_do(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    digest = sha256_of(file)
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    first = identity_of("a.csv", digest, DESCRIBED)
    same = identity_of("b.csv", digest, msgspec.structs.replace(DESCRIBED, unused=["x"], roles={"symbol": "s", "price": "p"}))
    assert same.digest == first.digest
    others = [
        identity_of("a.csv", "0" * 64, DESCRIBED),
        identity_of("a.csv", digest, msgspec.structs.replace(DESCRIBED, roles={"symbol": "s", "price": "q"})),
        identity_of("a.csv", digest, msgspec.structs.replace(DESCRIBED, price="decimal comma")),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 4


def test_the_source_is_one_that_the_contract_accepts() -> None:
    for name in ("trades.csv", "..", "ü" * 300, "a b/c", "-" * 90):
        source = identity_of(name, "0" * 64, DESCRIBED)._replace(repetition=12).source
        assert SOURCE.fullmatch(source)
        assert "/" not in source


def test_the_newest_import_of_a_file_is_found_whatever_the_file_is_called(tmp_path: Path) -> None:
    new = identity_of("b.csv", "0" * 64, DESCRIBED)
    assert new.begun(tmp_path / "none") is None
    for source in (f"a.csv-{new.digest}", f"c.csv-{new.digest}-10", f"a.csv-{new.digest}-9", f"a.csv-{new.digest}-x"):
        (tmp_path / f"{source}.jsonl").touch()
    begun = new.begun(tmp_path)
    assert begun is not None
    assert begun.source == f"c.csv-{new.digest}-10"
