"""What becomes of a request and its answer on the way through."""
