"""The Models page: the catalogue, opening a model's folder."""
