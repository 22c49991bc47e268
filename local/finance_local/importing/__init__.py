"""`financelake import`: put a user's file into the running lake, and prove that it is there."""
