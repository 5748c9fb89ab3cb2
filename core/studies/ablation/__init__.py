"""Ablation: a recipe without each of its parts, run with paired seeds."""
