"""The entry point of the `strangler` command."""

from __future__ import annotations

import gc
import sys

from proxy import signals


def main() -> None:
    """Signals first: what is imported afterwards takes most of a second, and a reload may come in it."""
    if sys.argv[1:2] == ["serve"]:
        signals.hold()
        gc.disable()  # what is imported never becomes garbage; the server looks for it when it has started
    from proxy.cli import main as command

    command()
