"""Guarded rollouts: when a weight may rise, when it must fall, and what is missing. Pure."""
