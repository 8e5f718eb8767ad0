"""SQL, one module per resource. Functions take a connection (or the pool) and return rows or models."""
