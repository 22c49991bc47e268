"""The streaming job: reads the topic, checks every record against the contract, appends it to exactly one Delta table."""
