"""Runs in more than one process: what each of them is given, how they are started, and what comes back."""
