"""Who changed something, as far as that is known."""

from __future__ import annotations

from typing import NamedTuple


class Author(NamedTuple):
    """`name` is proven by a token where tokens are set; elsewhere it is what the caller says, or "".

    `claimed` is what a caller with a token says besides. It may be anybody's name.
    """

    name: str = ""
    claimed: str = ""

    def __str__(self) -> str:
        return f"{self.name} (says: {self.claimed})" if self.claimed else self.name


NOBODY = Author()
