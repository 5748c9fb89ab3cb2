"""What several pages need: the session's state, figures, numbers and small pieces."""
