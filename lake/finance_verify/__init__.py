"""Prove that the tables equal the topic: `verify.verify` reads the tables once and returns a report."""
