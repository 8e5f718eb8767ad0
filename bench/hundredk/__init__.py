"""A hundred thousand connections open at once, on one machine."""
