"""The orchestrator: the only writer of events. It decides what comes next in each execution."""
