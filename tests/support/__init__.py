"""What tests and benchmarks share: lakes, damage, stacks, a dashboard that is served, nasty names."""
