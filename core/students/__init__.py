"""Students: built from a teacher or from scratch, with their layer maps, importance scores and resizing (papers:
docs/references.md)."""
