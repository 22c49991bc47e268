"""Recover and redrive: repairs of the tables, as commands of their own."""
