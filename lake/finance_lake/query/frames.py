"""Frames and arrays of floats, for research: what they lose is stated in `Result.df`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from finance_lake.query.floats import nearest_floats
from finance_lake.query.times import parse_zone

if TYPE_CHECKING:
    import pandas as pd

    from finance_lake.query.times import Zone

# The column of times that becomes the index: of ticks, and of bars.
TIMES = ("ts_event", "ts")
NANOS = "ts_event_nanos"
MAX_US = (2**63 - 1) // 1000


def arrow_frame(table: pa.Table) -> pd.DataFrame:
    """Return a pandas frame with Arrow-backed columns."""
    import pandas as pd  # noqa: PLC0415 (takes a second)

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def with_floats(table: pa.Table, tz: Zone) -> pa.Table:
    """Return a table with decimals as float64 and times in a zone. Raises RequestError."""
    zone = parse_zone(tz).key
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            column = table.column(index)
            floats = pa.array(nearest_floats(column), mask=_missing(column))
            table = table.set_column(index, field.name, pa.chunked_array([floats]))
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            table = table.set_column(index, field.name, table.column(index).cast(pa.timestamp(field.type.unit, zone)))
    return table


def float_frame(table: pa.Table, tz: Zone) -> pd.DataFrame:
    """Return a pandas frame of NumPy's types with the time as its index, in a zone. Raises RequestError."""
    import pandas as pd  # noqa: PLC0415

    zone = parse_zone(tz).key
    time = next((name for name in TIMES if name in table.column_names and pa.types.is_timestamp(table[name].type)), None)
    index = None
    if time:
        index = pd.DatetimeIndex(_nanoseconds(table, time), name=time).tz_localize("UTC").tz_convert(zone)
        table = table.drop_columns([name for name in table.column_names if name == time or (name, time) == (NANOS, TIMES[0])])
    columns = {number: _series(column, zone) for number, column in enumerate(table.columns)}
    # set_index would copy all columns.
    frame = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows) if index is None else index, copy=False)
    frame.columns = pd.Index(table.column_names)
    return frame


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Return one NumPy array per column."""
    return {name: _array(table, name) for name in table.column_names}


def _array(table: pa.Table, name: str) -> Any:  # noqa: ANN401 (pyarrow has no types)
    column = table.column(name)
    if pa.types.is_timestamp(column.type) and column.type.unit == "us":
        return _nanoseconds(table, name)
    return _numbers(column) if pa.types.is_decimal(column.type) else _plain(column)


def _series(column: pa.ChunkedArray, zone: str) -> Any:  # noqa: ANN401 (an array of NumPy or pandas)
    import pandas as pd  # noqa: PLC0415

    kind = column.type
    if pa.types.is_decimal(kind):
        return _numbers(column)
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp(kind.unit, zone)).to_pandas().array
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.arrays.ArrowExtensionArray(column)
    return column.to_pandas(date_as_object=False).array


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return nearest_floats(column)


def _plain(column: pa.ChunkedArray) -> Any:  # noqa: ANN401 (pyarrow has no types)
    if pa.types.is_string(column.type):
        codes = column.combine_chunks().dictionary_encode()
        names = np.array([*codes.dictionary.to_pylist(), None], object)
        return names[codes.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
    if pa.types.is_date(column.type):
        return column.combine_chunks().cast(pa.timestamp("s")).to_numpy(zero_copy_only=False)
    return column.to_numpy()


def _nanoseconds(table: pa.Table, name: str) -> Any:  # noqa: ANN401
    """Return times as datetime64[ns], with the nanoseconds of `ts_event`; those beyond 1677 to 2262 stay microseconds."""
    column = table.column(name).combine_chunks()
    us = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    if len(us) and not (np.abs(us.view(np.int64)[~_missing(table.column(name))]) <= MAX_US).all():
        return us
    times = us.astype("datetime64[ns]")
    if name == TIMES[0] and NANOS in table.column_names and table.column(NANOS).null_count < len(us):
        nanos = table.column(NANOS).combine_chunks().fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        times = times + nanos.astype("timedelta64[ns]")
    return times


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_null().combine_chunks().to_numpy(zero_copy_only=False))
