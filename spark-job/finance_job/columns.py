"""The columns of the two tables as the workers write them; what they are stands in finance_lake.state.columns."""

from finance_lake.state.columns import FIELDS, PRICE, UTC_MICROSECONDS
from finance_lake.state.layout import QUARANTINE, TICKS

__all__ = ["FIELDS", "PRICE", "QUARANTINE_FIELDS", "STATISTICS", "TICK_FIELDS", "UTC_MICROSECONDS"]

TICK_FIELDS = FIELDS[TICKS]
QUARANTINE_FIELDS = FIELDS[QUARANTINE]

# Columns with minimum and maximum in the log: what queries filter on, and what orders the files.
STATISTICS = {
    TICKS: ("symbol", "ts_event", "kafka_partition", "kafka_offset", "kafka_timestamp"),
    QUARANTINE: ("kafka_partition", "kafka_offset", "kafka_timestamp", "reason"),
}
