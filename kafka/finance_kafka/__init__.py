"""The broker as its clients see it: what it says of a topic, and the records of ranges of offsets."""
