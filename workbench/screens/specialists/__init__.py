"""The page Specialists: a generalist's confusions, its specialists, and what they say of one item."""
