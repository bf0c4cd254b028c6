"""The core: decide, evolve and open_tasks, without clock, chance or I/O."""
