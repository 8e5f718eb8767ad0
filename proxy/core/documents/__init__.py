"""JSON documents and the names of places in them."""
