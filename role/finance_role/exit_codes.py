"""Exit codes of the roles and their commands. 0 is success, 1 a failure that a restart may fix; verify has its own."""

USAGE = 2  # wrong settings or options
REFUSED = 78  # EX_CONFIG of sysexits.h: a restart would not help, so nothing restarts it
COMPACTION_MISMATCH = 79  # a compaction was undone because its rows differed from the originals
SIGNALLED = 128  # plus the number of the signal that ended it
