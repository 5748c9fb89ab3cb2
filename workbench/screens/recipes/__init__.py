"""The Recipes page: runs grouped by configuration, compared over seeds, and bundled to be reproduced elsewhere."""
