"""What every role of the lake shares: settings from the environment, a lock, a heartbeat, a log that reads as a story."""
