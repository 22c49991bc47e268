"""topic-init: creates the topic `finance` as the contract requires, or reports how the existing one differs."""
