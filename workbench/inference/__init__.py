"""Models that answer, in a process of their own: the web process's side of it, that process, and the words between them."""
