"""topic-init: makes the topic `finance` as the contract wants it, or says how the one that exists differs."""
