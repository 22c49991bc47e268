"""Read from the broker: the description of a topic, and the records of offset ranges."""
