"""What is kept: the audit log, the migration ledger, keyed writes; and what was erased of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.control.forgetting import Erasure
from proxy.control.ledger import Migration
from proxy.core.resilience.idempotency import Record
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BACKENDS
from proxy.core.timestamps import timestamp
from proxy.core.traffic.ledger import LedgerRow, last_hit, legacy_hits, progress
from proxy.store.audit import AuditEntry
from proxy.store.writes import Page


def audit_json(entries: Iterable[AuditEntry]) -> dict[str, Any]:
    """`GET /api/v1/audit`."""
    return {
        "entries": [
            {
                "time": timestamp(entry.time),
                "author": entry.author,
                "action": entry.action,
                "details": dict(entry.details),
            }
            for entry in entries
        ]
    }


def ledger_json(found: Migration) -> dict[str, Any]:
    """`GET /api/v1/ledger`."""
    return {
        "endpoints": [{"endpoint": name, **_row(each, found.now)} for name, each in found.endpoints.items()],
        UNLISTED: [{"path": path, "hits": hits} for path, hits in found.unlisted.items()],
    }


def writes_json(found: Page) -> dict[str, Any]:
    """`GET /api/v1/writes`, and `strangler writes --json`."""
    return {"writes": [write_json(record) for record in found.records], "total": found.total}


def write_json(record: Record) -> dict[str, Any]:
    """What people and programs are shown of a write with an idempotency key."""
    return {
        "id": record.id,
        "state": record.state,
        "note": record.note,
        "owner": record.owner,
        "endpoint": record.endpoint,
        "key": record.key,
        "principal": record.principal,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
        "expires_at": timestamp(record.expires_at),
    }


def erased_json(outcome: Erasure) -> dict[str, Any]:
    """The answer of `POST /api/v1/forget`."""
    samples = outcome.erased.samples + outcome.waiting
    return {"keys": outcome.erased.keys, "samples": samples, "left": list(outcome.left)}


def _row(row: LedgerRow, now: float) -> dict[str, Any]:
    return {
        "progress": progress(row, now),
        "weight": row.weight / 100,
        "days": round((now - row.since) / 86_400, 2),
        "last_hit": {backend: last_hit(row, backend) for backend in BACKENDS},
        "legacy": {reason: hits.requests for reason, hits in legacy_hits(row).items()},
    }
