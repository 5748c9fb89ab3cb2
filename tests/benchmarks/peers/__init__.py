"""Distillation by other libraries beside ours: `python -m tests.benchmarks.peers`, or `make bench-peers`."""
