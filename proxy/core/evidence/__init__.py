"""Figures, and what they prove."""
