"""Texts of routing.yaml for tests."""

from __future__ import annotations

import json
from dataclasses import fields

from proxy.config import ConfigError, ConfigErrors, Loaded, compile_values, load_text
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint

BACKENDS = "backends: {legacy: {url: 'http://127.0.0.1:5001'}, async: {url: 'http://127.0.0.1:5002'}}\n"


def load(text: str, **environ: str) -> Loaded:
    """The text with two backends added below it, so that its first line is line 1.

    Whatever it says, a worker, which gets plain values, makes the same of it.
    """
    loaded = load_text(f"{text}\n{BACKENDS}", source="routing.yaml", environ=environ)
    *_, worker = compile_values(json.loads(json.dumps(loaded.values)), loaded.snapshot.hash)
    assert worker is not None
    assert meaning(worker) == meaning(loaded.snapshot)
    return loaded


def meaning(snapshot: Snapshot) -> list[dict[str, object]]:
    """All that is compiled and is compared by its value. `contents` are for those that show changes."""
    return [vars_of(snapshot), *map(vars_of, snapshot.endpoints)]


def vars_of(value: Snapshot | Endpoint) -> dict[str, object]:
    """Endpoints, tables and assignments have no value that is compared."""
    unlike = {"endpoints", "table", "assignments", "contents"}
    return {each.name: getattr(value, each.name) for each in fields(value) if each.name not in unlike}


def errors(text: str, **environ: str) -> list[ConfigError]:
    try:
        load(text, **environ)
    except ConfigErrors as found:
        return list(found.errors)
    return []


def error(text: str, **environ: str) -> ConfigError:
    """The one error that the text has."""
    (found,) = errors(text, **environ)
    return found
