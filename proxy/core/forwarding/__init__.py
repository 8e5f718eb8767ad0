"""What happens to a request and its answer on the way through the proxy."""
