"""What a run needs, before it starts: checks, memory, disk and time, and a dry run of its steps."""
