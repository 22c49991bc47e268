"""Recover and redrive: commands that repair the tables."""
