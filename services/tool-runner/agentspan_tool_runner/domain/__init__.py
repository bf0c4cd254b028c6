"""Which worker gets which task: no clock, no I/O."""
