"""The proof that the tables equal the topic: `verify.verify` reads them once and judges them."""
