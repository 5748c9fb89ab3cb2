"""The machine, its devices, files and paths; units, and the provenance of results."""
