"""Text from causal models: streamed token by token, or many prompts at once."""
