"""Derived tables: kept by Spark from the table of ticks, as revisions that are appended (docs/DERIVED.md)."""
