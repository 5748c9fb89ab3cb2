"""The page that shows what temperature does to a teacher's answer."""
