"""The lake's state as data: commit records, the checkpoint's files, digests of rows. Nothing here opens an engine."""
