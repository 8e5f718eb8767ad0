"""The whole migration on one machine: database, both backends, proxy, traffic."""

from proxy.cli.demo.command import demo

__all__ = ["demo"]
