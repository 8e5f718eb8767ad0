"""Reads the databases, and nothing else, and says what is wrong with them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import psycopg

from tests.contract.fixtures import ledger_problems
from tests.faults.clients import Write

EXECUTED = """
    SELECT description, id::text FROM payments WHERE description LIKE %(prefix)s
    UNION ALL
    SELECT reason, id::text FROM refunds WHERE reason LIKE %(prefix)s AND status = 'completed'"""


def check(database: str, claims: Path, writes: list[Write], prefix: str) -> list[str]:
    """Every violation in words; empty: all is as it must be."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(EXECUTED, {"prefix": f"{prefix}-%"}).fetchall()
    executed = Counter(key for key, _ in rows)
    ids = {(key, id) for key, id in rows}
    states = _states(claims)
    asked = {write.key for write in writes}
    found = [f"{key} was executed {count} times" for key, count in executed.items() if count > 1]
    found += [f"{key} was executed and nobody asked for it" for key in executed if key not in asked]
    for write in writes:
        found += _check_write(write, executed[write.key], (write.key, write.id) in ids, states.get(write.key))
    return found + ledger_problems(database)


def _states(claims: Path) -> dict[str, str]:
    """By key; none if nothing was ever claimed."""
    if not claims.exists():
        return {}
    with contextlib.closing(sqlite3.connect(claims)) as connection:
        return dict(connection.execute("SELECT key, state FROM claims").fetchall())


def _check_write(write: Write, times: int, same_id: bool, state: str | None) -> list[str]:
    match write.outcome:
        case "acknowledged":
            if not same_id:
                return [f"{write.key} was acknowledged as {write.id}, which is not there"]
        case "refused":
            if times:
                return [f"{write.key} was refused, and executed {times} times"]
        case "unknown":
            if state != "unknown":
                return [f"{write.key} is unknown to its client, and {state} in the store"]
        case "open":
            return [f"{write.key} never came to an end; the store says {state}"]
    return []
