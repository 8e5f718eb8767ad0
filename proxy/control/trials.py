"""What workers have seen of the trials of endpoints in a rollout, the departed ones included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from proxy.core.evidence.units import NONE, Counts, added
from proxy.core.traffic.trials import merge_units
from proxy.core.wire.messages import UnitReport

MAX_EPOCHS: Final = 2000  # of all endpoints together, up to 40 KB each; the one longest unheard of goes first
MAX_COUNTED: Final = 200  # incarnations whose counts are kept apart, in case they only reconnect


class _Epoch:
    """Maps only grow, so one of all workers is enough; of counts, each worker's newest takes the place of
    the one before."""

    def __init__(self, number: int, report: UnitReport) -> None:
        self.number = number
        self.maps = _uncounted(report)
        self._counts: OrderedDict[str, tuple[Counts, Counts]] = OrderedDict()
        self._former: tuple[Counts, Counts] = (NONE, NONE)  # of workers that are long gone

    def record(self, incarnation: str, report: UnitReport) -> None:
        self.maps = merge_units([self.maps, _uncounted(report)])[0]
        self._counts[incarnation] = (report.legacy, report.async_)
        self._counts.move_to_end(incarnation)
        if len(self._counts) > MAX_COUNTED:
            _, oldest = self._counts.popitem(last=False)
            self._former = (added(self._former[0], oldest[0]), added(self._former[1], oldest[1]))

    def counts(self) -> dict[str, tuple[Counts, Counts]]:
        """By incarnation; "" are those that are long gone."""
        return {**self._counts, "": self._former}

    def merged(self) -> UnitReport:
        legacy, async_ = self._former
        for one, other in self._counts.values():
            legacy, async_ = added(legacy, one), added(async_, other)
        return msgspec.structs.replace(self.maps, legacy=legacy, async_=async_)


def _uncounted(report: UnitReport) -> UnitReport:
    return msgspec.structs.replace(report, legacy=NONE, async_=NONE)


class CollectedTrials:
    """By endpoint and epoch. It survives workers, and their reconnecting; a new control process hears all of
    it again from those that live."""

    def __init__(self) -> None:
        self._epochs: OrderedDict[tuple[str, str], _Epoch] = OrderedDict()
        self._number = 0

    def record(self, incarnation: str, reports: Iterable[UnitReport]) -> None:
        for report in reports:
            key = (report.endpoint, report.epoch)
            known = self._epochs.get(key)
            if known is None:
                self._number += 1
                known = self._epochs[key] = _Epoch(self._number, report)
            known.record(incarnation, report)
            self._epochs.move_to_end(key)
            if len(self._epochs) > MAX_EPOCHS:
                self._epochs.popitem(last=False)

    def counts(self, endpoint: str, epoch: str) -> dict[str, tuple[Counts, Counts]]:
        """Requests without a key in this epoch, of legacy and async, by the worker that counted them."""
        known = self._epochs.get((endpoint, epoch))
        return {} if known is None else known.counts()

    def units(self, labels: Mapping[str, str]) -> dict[str, UnitReport]:
        """Of each endpoint that `labels` gives an epoch, what all workers have seen in it, if any did.

        Epochs of these endpoints that were first heard of before that one are forgotten: they are over.
        """
        wanted = {
            endpoint: known
            for endpoint, epoch in labels.items()
            if (known := self._epochs.get((endpoint, epoch))) is not None
        }
        for key, each in list(self._epochs.items()):
            if key[0] in wanted and each.number < wanted[key[0]].number:
                del self._epochs[key]
        return {endpoint: each.merged() for endpoint, each in wanted.items()}
