"""The New-experiment page: the draft and its widgets, pictures of what it means, the plan, the start."""
