"""What the admin port shows of one request that was put to both backends."""

from __future__ import annotations

from typing import NamedTuple

from proxy.core.comparison.comparisons import Shown, Side


class OneOff(NamedTuple):
    """Both answers to one request and what differs, as they came: nothing is redacted and nothing stored.

    `hidden` are rules with how many differences each hid, `expired` those that hide nothing any more.
    `unreadable` says why the bodies could not be compared.
    """

    endpoint: str | None
    legacy: Side
    async_: Side
    differences: tuple[Shown, ...]
    left_out: int
    hidden: tuple[tuple[str, int], ...]
    expired: tuple[str, ...]
    unreadable: str = ""


class NotCompared(Exception):
    """This request is not sent, or a backend did not answer; `status` is that of the problem that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
