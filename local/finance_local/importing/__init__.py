"""`financelake import`: put a user's file into the lake, and prove that it is there."""
