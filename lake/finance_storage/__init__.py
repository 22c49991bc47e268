"""The lake on disk: paths, schemas, the Delta log, data files, commit metadata, the lake's identity, ledgers and digests."""
