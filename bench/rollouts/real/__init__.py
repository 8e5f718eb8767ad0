"""Rollouts with real processes: backends that misbehave as they are told, a crowd of users, the proxy."""
