"""Losses, batches and the training loop of distillation."""
