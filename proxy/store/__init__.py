"""State in a database: claims on idempotency keys, the operators' view of them, and the audit log."""

from __future__ import annotations

from importlib import import_module

from proxy.store.claims import Claims, Held
from proxy.store.places import StoreUnavailable, attend, claims_file, incarnations_of, is_sqlite

__all__ = [
    "Claims",
    "StoreUnavailable",
    "attend",
    "claims_file",
    "exists",
    "is_sqlite",
    "load",
    "open_claims",
    "start_anew",
]


def open_claims(url: str, incarnation: str, held: Held | None = None) -> Claims:
    """The claims in `server.state`. Returns at once; whether the store works shows with the first call.

    Raises StoreUnavailable if not even that is possible, say for want of a thread; the next call may succeed.
    """
    try:
        if is_sqlite(url):
            from proxy.store.sqlite import SqliteClaims

            return SqliteClaims(url, incarnation, held)
        from proxy.store.postgresql import PostgresqlClaims  # only who uses it needs the driver

        return PostgresqlClaims(url, incarnation, held)
    except Exception as error:
        raise StoreUnavailable(f"cannot be opened: {type(error).__name__}: {error}") from error


def load(url: str) -> None:
    """Imports what `open_claims` needs, which takes a third of a second of a processor: not on an event loop.

    Raises StoreUnavailable.
    """
    try:
        import_module("proxy.store.sqlite" if is_sqlite(url) else "proxy.store.postgresql")
    except Exception as error:
        raise StoreUnavailable(f"cannot be opened: {type(error).__name__}: {error}") from error


def start_anew(url: str) -> bool:
    """A control process starts: if no worker of an earlier one lives, a SQLite file may be another now.

    Returns whether what earlier ones knew of keys is gone.
    """
    if not is_sqlite(url):
        return False
    from proxy.store import life

    return life.start_anew(incarnations_of(url), claims_file(url))


def exists(url: str) -> bool:
    """Whether somebody may have stored claims: a SQLite file comes into being with the first of them."""
    return not is_sqlite(url) or claims_file(url).exists()
