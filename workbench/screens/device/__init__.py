"""The On device page: export a masked-language model, see what that cost, run it in the visitor's own browser."""
