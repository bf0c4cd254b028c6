"""Pure: what a row is, what a filter means, what a reader sees. No clock, no I/O."""
