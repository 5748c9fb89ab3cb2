"""Labelled tasks: their data, fine-tuning of pretrained encoders on them, and task-level distillation."""
