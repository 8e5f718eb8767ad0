"""What happens when a backend, a worker or a client fails: retries, the breaker, idempotency keys."""
