"""Studies in the background: claims that are checked and ablations, each in a process of its own."""
