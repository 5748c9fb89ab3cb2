"""Hostile input by seeded generators: `python -m tests.fuzz` runs thousands, the tests beside it a few.

A generator gives the same input for the same seed. What it gives is answered as the product answers it, and an answer is a value or a
`StillhouseError`; anything else is a fault. `python -m tests.fuzz` also measures time and memory of each answer.
"""
