"""Compaction, VACUUM and log checkpoints, between two micro-batches."""
