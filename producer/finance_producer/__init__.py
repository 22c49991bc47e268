"""The producer: publishes a seeded market simulation, or a file of real prices, tick by tick to the topic."""
