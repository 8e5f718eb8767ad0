"""Which version of async answers, and for how long it has been the only one."""

from __future__ import annotations

from collections.abc import Iterable


class Versions:
    """Told once a second what is heard: from answers, else from comparisons, else from the configuration."""

    def __init__(self) -> None:
        self._heard: dict[str, str] = {}  # by who says so
        self.version = ""
        self._since = 0.0

    def hear(self, said: Iterable[tuple[str, str]], now: float) -> None:
        """(who, version) pairs. Only what is new counts: who hears nothing repeats what it heard last."""
        for who, version in said:
            if version and self._heard.get(who) != version:
                self._heard[who] = version
                if version != self.version:
                    self.version, self._since = version, now

    def stable(self, now: float) -> float:
        """Seconds for which no other was heard."""
        return max(0.0, now - self._since) if self.version else 0.0
