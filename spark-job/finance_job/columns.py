"""The columns of the two tables, as the workers write them."""

import pyarrow as pa

from finance_lake.state.layout import QUARANTINE, TICKS

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
PRICE = pa.decimal128(18, 8)

# What the data files hold. `date`, the partition column of ticks, stands in the path and the log, as Delta has it.
TICK_FIELDS = pa.schema(
    {
        "symbol": pa.string(),
        "price": PRICE,
        "size": pa.int64(),
        "ts_event": UTC_MICROSECONDS,
        "ts_event_nanos": pa.int16(),
        "seq": pa.int64(),
        "source": pa.string(),
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": UTC_MICROSECONDS,
        "ingested_at": UTC_MICROSECONDS,
    }
)
QUARANTINE_FIELDS = pa.schema(
    {
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": UTC_MICROSECONDS,
        "key": pa.binary(),
        "value": pa.binary(),
        "value_length": pa.int64(),
        "value_sha256": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
        "ingested_at": UTC_MICROSECONDS,
    }
)
FIELDS = {TICKS: TICK_FIELDS, QUARANTINE: QUARANTINE_FIELDS}

# Columns with minimum and maximum in the log: what queries filter on, and what orders the files.
STATISTICS = {
    TICKS: ("symbol", "ts_event", "kafka_partition", "kafka_offset", "kafka_timestamp"),
    QUARANTINE: ("kafka_partition", "kafka_offset", "kafka_timestamp", "reason"),
}
