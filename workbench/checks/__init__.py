"""Checks of claims, and ablations, in the background: a process of its own, what it is at, and how it is stopped."""
