"""The producer: a seeded market simulation, or a file of real prices, published tick by tick to the topic."""
