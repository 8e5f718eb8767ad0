"""Holds a change of weight at a point of its transaction in PostgreSQL, until it is let go.

Triggers wait for an advisory lock that the test has. Nothing in the product knows of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, LiteralString

import psycopg

from tests.support.waiting import eventually

Point = Literal["before the swap", "after the swap", "at the commit"]
KEY: Final = 4711
MOVES: Final[LiteralString] = (
    "(NEW.position::json ->> 'weight') IS DISTINCT FROM (OLD.position::json ->> 'weight')"
)
WAIT: Final[LiteralString] = f"""
CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock({KEY}); RETURN NEW; END $$
"""
TRIGGERS: Final[dict[Point, LiteralString]] = {
    "before the swap": f"CREATE TRIGGER gate BEFORE UPDATE ON rollouts FOR EACH ROW WHEN ({MOVES})",
    "after the swap": f"CREATE TRIGGER gate AFTER UPDATE ON rollouts FOR EACH ROW WHEN ({MOVES})",
    "at the commit": "CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON rollouts DEFERRABLE INITIALLY DEFERRED "
    f"FOR EACH ROW WHEN ({MOVES})",
}


class Gate:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def held(self, point: Point) -> Iterator[None]:
        """Whoever moves a weight waits at this point until the block ends."""
        execute = self._connection.execute
        execute(f"SELECT pg_advisory_lock({KEY})")
        execute(WAIT)
        execute(TRIGGERS[point] + " EXECUTE FUNCTION gate()")
        try:
            yield
        finally:
            execute(f"SELECT pg_advisory_unlock({KEY})")
            execute("DROP TRIGGER gate ON rollouts")

    def somebody_waits(self) -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        found = self._connection.execute(query).fetchone()
        return bool(found and found[0])

    def until_somebody_waits(self) -> None:
        eventually(self.somebody_waits, "a change of weight is on its way")

    def stored_weight(self) -> float:
        """Of the only rollout, in percent."""
        found = self._connection.execute("SELECT position::json ->> 'weight' FROM rollouts").fetchone()
        assert found is not None
        return int(found[0]) / 100

    def lease_is_free(self) -> None:
        """As if its seconds were over, which a test need not wait for."""
        self._connection.execute("UPDATE rollout_lease SET expires_at = 0")
