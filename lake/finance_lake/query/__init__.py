"""Queries over the tables with deltalake and DuckDB, while the job writes: no JVM, no lock."""
