"""Seal the days that can get no more rows, between micro-batches."""
