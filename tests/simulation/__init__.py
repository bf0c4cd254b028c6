"""The whole system in one thread and no time: real services on a log in memory, everything that can go wrong, one seed.

`python -m tests.simulation --seed 7` replays a run exactly. docs/simulation.md says what it checks and how to read it.
"""
