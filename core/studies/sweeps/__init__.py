"""Sweeps: one recipe with several values of some of its keys, over several seeds."""
