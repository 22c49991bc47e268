"""Differences between the job's schema and a table's: added, refused by name, or ignored."""

from __future__ import annotations

import pytest
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, PrimitiveType

from finance_job.guard import StartupRefusedError, open_lake
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import RecoverError, make_plan
from finance_job.schema_guard import UnfitSchemaError, compare, require_fit
from finance_job.writer import Writer
from finance_storage.delta_table import newest_metadata
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import BAD, TOPIC, BuiltLake, numbered
from tests.support.newer_version import LATER, know_later_columns, write_later_columns
from tests.support.tampering import judge


def field(name: str, kind: str, *, nullable: bool = True) -> Field:
    return Field(name, PrimitiveType(kind), nullable=nullable)


PRICE = field("price", "decimal(18,8)")
SYMBOL = field("symbol", "string")
LIST = Field("tags", ArrayType(PrimitiveType("string"), contains_null=True))
# Columns of the table besides `symbol`, columns of the job besides it, the columns added, and the text of a refusal.
SCHEMAS = {
    "the same": ([PRICE], [PRICE], [], None),
    "in another order": ([PRICE, field("size", "long")], [field("size", "long"), PRICE], [], None),
    "one more that may be null": ([], [PRICE, field("size", "long")], ["price", "size"], None),
    "one more that may not": (
        [],
        [field("price", "double", nullable=False)],
        [],
        "no column price, the job writes DOUBLE NOT NULL",
    ),
    "another type": ([field("price", "double")], [PRICE], [], "column price as DOUBLE, the job writes DECIMAL(18,8)"),
    "more digits": ([field("price", "decimal(20,8)")], [PRICE], [], "price as DECIMAL(20,8), the job writes DECIMAL(18,8)"),
    "no zone": ([field("at", "timestamp_ntz")], [field("at", "timestamp")], [], "as TIMESTAMP_NTZ, the job writes TIMESTAMP"),
    "a list": ([LIST], [field("tags", "string")], [], "column tags as ARRAY, the job writes STRING"),
    "NOT NULL here": ([field("size", "long", nullable=False)], [field("size", "long")], [], "ALTER COLUMN size DROP NOT NULL"),
    "NULL there": ([field("size", "long")], [field("size", "long", nullable=False)], [], None),
    "other capitals": ([field("Price", "decimal(18,8)")], [PRICE], [], "column Price, the job writes price"),
    "another writer's": ([field("note", "string"), LIST], [], [], None),
    "another writer's NOT NULL": (
        [field("note", "string", nullable=False)],
        [],
        [],
        "note as STRING NOT NULL, the job does not",
    ),
}


@pytest.mark.parametrize(("has", "writes", "added", "refusal"), SCHEMAS.values(), ids=SCHEMAS)
def test_each_difference_is_added_refused_or_ignored(
    has: list[Field], writes: list[Field], added: list[str], refusal: str | None
) -> None:
    differences = compare("finance_delta", (Schema([SYMBOL, *has]), ["date"]), (Schema([SYMBOL, *writes]), ["date"]))
    assert [column.name for column in differences.missing] == added
    messages = [str(fault) for fault in differences.faults]
    assert len(messages) == (refusal is not None)
    if refusal:
        assert refusal in messages[0]
        assert messages[0].startswith("finance_delta has ")
        assert "To fix it: " in messages[0]
        with pytest.raises(UnfitSchemaError, match="To fix it"):
            require_fit(differences)


@pytest.mark.parametrize("by", [[], ["symbol"], ["date", "symbol"]])
def test_another_partitioning_is_refused(by: list[str]) -> None:
    schema = Schema([SYMBOL, field("date", "date")])
    (fault,) = compare("finance_delta", (schema, by), (schema, ["date"])).faults
    columns = " and ".join(by) or "nothing"
    assert f"finance_delta is partitioned by {columns}, the job writes it partitioned by date" in str(fault)


# ---- lakes --------------------------------------------------------------------------------------------------------------


def columns(lake: BuiltLake, name: str, version: int | None = None) -> list[str]:
    return [column.name for column in DeltaTable(str(lake.paths.table(name)), version=version).schema().fields]


def start(lake: BuiltLake) -> Writer:
    """Run the guard, then take over the lake, as the job does when it starts."""
    open_lake(lake.paths, TOPIC, lake.broker)
    return Writer(lake.paths, lake.identity)


def test_a_later_column_is_added_by_a_commit_with_metadata(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    before = {name: newest_metadata(DeltaTable(str(lake.paths.table(name))), lake.paths.table(name)) for name in LATER}
    writer = start(lake)
    for name, later in LATER.items():
        table, earlier = DeltaTable(str(lake.paths.table(name))), before[name]
        assert later.name in columns(lake, name)
        assert later.name not in columns(lake, name, 1)
        assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
        metadata = newest_metadata(table, lake.paths.table(name))
        assert metadata == writer.metadata(name)
        assert earlier is not None
        assert (metadata.sequence, metadata.position, metadata.total, metadata.rows) == (
            earlier.sequence + 2,
            earlier.position,
            earlier.total,
            {},
        )
        assert table.metadata().configuration["financelake.identity"]
    assert judge(lake).findings == ()


def test_a_later_column_is_added_once(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    start(lake)
    version = DeltaTable(str(lake.paths.ticks)).version()
    start(lake)
    assert DeltaTable(str(lake.paths.ticks)).version() == version + 1  # the epoch


def test_a_start_killed_between_the_tables_is_completed_by_the_next(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    add = Writer.add_columns

    def die_at_ticks(writer: Writer, name: str, fields: list[Field]) -> None:
        if name == TICKS:
            raise KeyboardInterrupt
        add(writer, name, fields)

    with monkeypatch.context() as context:
        context.setattr(Writer, "add_columns", die_at_ticks)
        with pytest.raises(KeyboardInterrupt):
            start(lake)
    assert "attempts" in columns(lake, QUARANTINE)
    assert "venue" not in columns(lake, TICKS)
    start(lake)
    assert "venue" in columns(lake, TICKS)


def test_another_writers_column_is_null_in_new_rows(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.add_columns([field("note", "string"), LIST])
    lake.writer = start(lake)
    lake.store(numbered(3, first=5))
    table = DeltaTable(str(lake.paths.ticks)).to_pyarrow_table()
    assert table.column("note").null_count == table.num_rows == 8
    assert judge(lake).findings == ()


def assert_refused(lake: BuiltLake, words: str) -> None:
    """Assert that guard, writer and recover refuse the lake for the same reason and write nothing."""
    versions = [DeltaTable(str(lake.paths.table(name))).version() for name in LATER]
    with pytest.raises(StartupRefusedError, match=words):
        open_lake(lake.paths, TOPIC, lake.broker)
    with pytest.raises(UnfitSchemaError, match=words):
        Writer(lake.paths, lake.identity)
    with pytest.raises(RecoverError, match=words):
        make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    assert [DeltaTable(str(lake.paths.table(name))).version() for name in LATER] == versions


def test_an_unfit_table_is_refused_by_guard_writer_and_recover(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.add_columns([field("venue", "double")])
    assert start(lake)
    know_later_columns(monkeypatch)
    assert_refused(lake, "finance_delta has column venue as DOUBLE, the job writes STRING")


# ---- files of an older version with columns that the schema lacks -------------------------------------------------------


@pytest.fixture
def unaware(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> BuiltLake:
    """Build a lake with committed files that have a column which the schema lacks."""
    with monkeypatch.context() as context:
        write_later_columns(context)
        for batch in range(3):
            lake.store([*numbered(4, first=5 + 4 * batch), BAD])
    lake.store(numbered(2, first=17))
    return lake


def test_verify_names_the_unknown_column_and_counts_every_row(unaware: BuiltLake) -> None:
    report = judge(unaware)
    assert {finding.code for finding in report.findings} == {Code.CORRUPT}
    assert len(report.findings) == 6
    assert "has column 'venue', which the table lacks: `make recover` repairs it" in str(report.findings[0])
    assert (report.figures.lost, report.figures.unreadable) == (0, 0)


def recover(lake: BuiltLake) -> None:
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    assert not plan.is_idle
    assert "add column venue to ticks: its data files have it, its schema does not" in list(plan.steps())
    assert plan.backfill == {}
    Recovery(lake.paths, lambda _: iter(()), plan, lambda _: None).run()


@pytest.mark.parametrize("is_newer", [False, True])
def test_recover_adds_the_column_and_keeps_its_values(
    unaware: BuiltLake, monkeypatch: pytest.MonkeyPatch, *, is_newer: bool
) -> None:
    if is_newer:
        know_later_columns(monkeypatch)
    recover(unaware)
    assert judge(unaware).findings == ()
    assert make_plan(unaware.paths, TOPIC, unaware.broker, {}, {}).is_idle
    open_lake(unaware.paths, TOPIC, unaware.broker)
    venues = DeltaTable(str(unaware.paths.ticks)).to_pyarrow_table().column("venue").to_pylist()
    assert sorted(map(str, venues)) == ["None"] * 7 + ["XNYS"] * 12


def test_a_newer_version_adds_the_column_at_its_start(unaware: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    start(unaware)
    assert judge(unaware).findings == ()
