"""The chat pane: two or three models side by side, asked the same question at once."""
