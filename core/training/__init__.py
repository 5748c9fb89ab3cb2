"""Losses, batches and the training loop of distillation (papers: docs/references.md)."""
