"""Checks of claims in the background: a process of its own for one claim at a time, what it is at, and how it is stopped."""
