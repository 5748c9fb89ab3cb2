"""The Models page: the catalogue, fetching a model, opening its folder."""
