"""Code that all roles share: settings from the environment, a lock, a heartbeat, logging, safe file access."""
