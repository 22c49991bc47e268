"""The proof that the tables equal the topic. `verify` is the way in; `examination` reads a snapshot once and judges it."""
