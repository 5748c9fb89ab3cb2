"""Models as files and in memory: the catalogue, checkpoints, architectures, loading and compatibility."""
