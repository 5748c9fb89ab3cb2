"""The page Reading: a teacher's notes on a text, reviewed by a reader; training on them; teacher and student side by side."""
