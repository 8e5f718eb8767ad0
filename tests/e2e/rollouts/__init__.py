"""Guarded rollouts with real processes, and everything that may happen to them."""
