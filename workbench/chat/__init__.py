"""The chat pane: two or three models side by side, answering the same question at once."""
