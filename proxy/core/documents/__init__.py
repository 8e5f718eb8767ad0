"""JSON documents, and paths into them."""
