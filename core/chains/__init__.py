"""Chains of anchors: their folder, the shapes between two anchors, and models of those shapes (papers: docs/references.md)."""
