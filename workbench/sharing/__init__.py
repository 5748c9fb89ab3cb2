"""Sharing an experiment: links that hold a recipe, QR codes, scripts and notebooks, and an instructor's restrictions."""
