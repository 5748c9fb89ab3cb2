"""Students: built from a teacher or from scratch, with their layer maps, importance scores and resizing.

Papers: docs/references.md.
"""
