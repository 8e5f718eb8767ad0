"""What is known of the rollouts, on disk in `server.runtime_dir`, for when the database is away.

It is written before workers are told of a rollback that the database does not know yet: a process that dies
in between must not raise the weight again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from proxy.control.kept_file import KeptFile
from proxy.control.log import log
from proxy.core.rollout.position import RolloutPosition
from proxy.store.rollouts import RolloutRow, decoded

NAME: Final = "rollouts.json"
MAX_BYTES: Final = 64 * 1024 * 1024


class Kept(NamedTuple):
    """`rows` as last known; `lowered` are rollbacks that the database may not know, by endpoint.

    `generation` is of the newest positions that workers were told.
    """

    rows: dict[str, RolloutRow]
    lowered: dict[str, RolloutPosition]
    generation: int = 0


class Keeper:
    """The file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / NAME, MAX_BYTES, durable=True)

    def read(self) -> Kept:
        """Nothing, if there is none that can be read."""
        try:
            found = msgspec.json.decode(self._file.read())
            rows = [RolloutRow(_position(each), None, each["about"]) for each in found["rows"]]
            lowered = [_position(each) for each in found["lowered"]]
            generation = int(found["generation"])
        except FileNotFoundError:
            return Kept({}, {})
        except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            log.error("%s cannot be read, and is left out: %s", self._file.path, error)
            return Kept({}, {})
        return Kept(
            {row.endpoint: row for row in rows}, {each.endpoint: each for each in lowered}, generation
        )

    def write(
        self, rows: Iterable[RolloutRow], lowered: Iterable[RolloutPosition], generation: int = 0
    ) -> None:
        """Returns when it is on disk, or cannot be: then only the database knows."""
        self._file.write(_content(rows, lowered, generation))


def _content(rows: Iterable[RolloutRow], lowered: Iterable[RolloutPosition], generation: int) -> bytes:
    return msgspec.json.encode(
        {
            "generation": generation,
            "rows": [{"position": row.position._asdict(), "about": dict(row.about)} for row in rows],
            "lowered": [{"position": each._asdict()} for each in lowered],
        }
    )


def _position(found: dict[str, Any]) -> RolloutPosition:
    return decoded(msgspec.json.encode(found["position"]))
