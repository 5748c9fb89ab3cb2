"""From a corpus to packed blocks: rows (house, sources) -> segments -> blocks (packing)."""
