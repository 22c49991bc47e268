"""The reading side of the lake. `finance_lake.state` is what the job shares with it: pure accounting, no engine inside."""
