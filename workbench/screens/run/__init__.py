"""The page of one run, and the feed that keeps it up to date."""
