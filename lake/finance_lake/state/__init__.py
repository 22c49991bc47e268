"""The lake's state as data: who it is, how far it is, what its commits promised, and what its rows digest to.

Guard, verify, recover and redrive all judge by what stands here, so they cannot disagree. It reads logs and small files; no JVM
and no query engine.
"""
