"""Compaction, VACUUM and log checkpoints, between micro-batches."""
