"""Shared by tests and benchmarks: lakes, damage, stacks, a running dashboard, nasty names."""
