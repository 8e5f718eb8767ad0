"""A strangler-fig migration proxy: one stable URL in front of an old and a new HTTP backend."""

__version__ = "0.2.0"
