"""Recover, redrive and forget: commands that repair the tables or move rows between them."""
