"""Metrics of models on held-out text, at masked tokens and on labelled reviews; their speed, and the statistics of results."""
