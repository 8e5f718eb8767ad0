"""`GET /api/v1/config`, and what becomes of a file, a restart and a token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.config import ConfigError, Loaded
from proxy.control.figures import ConfigFigures, WorkerFigures
from proxy.control.reload import LastError
from proxy.control.supervisor.roll import Restart
from proxy.core.settings import AdminUser
from proxy.core.timestamps import timestamp


def config_json(found: ConfigFigures) -> dict[str, Any]:
    return {
        "version": found.version,
        "data_path": found.data_path,
        "hash": found.hash,
        "source": found.source,
        "loaded_at": timestamp(found.loaded_at),
        "generation": found.generation,
        "workers": [_worker(each) for each in found.workers],
        "last_error": None if found.last_error is None else _last_error(found.last_error),
        "last_difference": list(found.last_difference),
        "warnings": list(found.warnings),
        "restart": None if found.restart is None else _restart(found.restart),
    }


def verdict_json(loaded: Loaded, changes: Iterable[str]) -> dict[str, Any]:
    """What a file that was accepted, or would be, changes."""
    return {"hash": loaded.snapshot.hash, "difference": list(changes)}


def restart_json(restart: Restart) -> dict[str, Any]:
    """The answer of `POST /api/v1/restart`."""
    return {"id": restart.id, "admin": restart.admin}


def user_json(user: AdminUser | None) -> dict[str, Any]:
    """`GET /api/v1/me`: whose token this is. Without users everybody may change things."""
    name, role = (None, "operator") if user is None else (user.name, user.role)
    return {"name": name, "role": role}


def error_json(error: ConfigError) -> dict[str, Any]:
    return {
        "line": error.line,
        "column": error.column,
        "key": error.key,
        "value": error.value,
        "message": error.message,
    }


def _worker(worker: WorkerFigures) -> dict[str, Any]:
    return {
        "id": worker.slot,
        "pid": worker.pid,
        "hash": worker.hash,
        "connections": worker.connections,
        "tasks": worker.tasks,
        "last_seen_seconds": None if worker.silence is None else round(worker.silence, 1),
        "silent": worker.silent,
    }


def _restart(restart: Restart) -> dict[str, str]:
    """The rolling restart that this control process was started by."""
    return {"id": restart.id, "state": restart.state, "detail": restart.detail}


def _last_error(error: LastError) -> dict[str, Any]:
    return {
        "time": timestamp(error.time),
        "trigger": error.trigger,
        "errors": [error_json(each) for each in error.errors],
        "excerpts": [list(lines) for lines in error.excerpts],
    }
