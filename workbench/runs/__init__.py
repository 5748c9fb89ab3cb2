"""Background runs: the queue, the process of each run, and what it records."""
