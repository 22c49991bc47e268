"""Queries over the tables with deltalake and DuckDB, while the job writes. No JVM, no locks."""
