"""Describes in words what changes between two snapshots."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

from proxy.config import units
from proxy.config.plan_words import plan_lines, position_text
from proxy.core.privacy.contents import hide
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint, KeySource, Upstream

_AT_START: Final = frozenset(
    {
        "server.listen",
        "server.admin",
        "server.workers",
        "server.runtime_dir",
        "server.state",
        "server.limits.connections",
    }
)
_SECRETS: Final = frozenset(
    {
        *("server.admin_token", "server.state", "override.token", "sticky.salt"),
        *("backends.legacy.health.headers", "backends.async.health.headers"),
        *("backends.legacy.dry_run", "backends.async.dry_run"),
    }
)
_given: Final = attrgetter(
    *(each.name for each in dataclasses.fields(Endpoint) if each.init and each.name != "index")
)
"""All that makes an endpoint but its place in the file."""


class ConfigDifference(NamedTuple):
    """One line per change; `needs_restart` are those lines that a running proxy does not obey."""

    lines: tuple[str, ...]
    needs_restart: tuple[str, ...]


def difference(old: Snapshot, new: Snapshot) -> ConfigDifference:
    """Such as `GET /accounts/{account_id}: weight 25 -> 50`. Secrets are named, never shown."""
    lines, restart = _setting_lines(old, new)
    contents = old.contents | new.contents
    lines += [
        hide(line, contents) for line in (*plan_lines(old.plans, new.plans), *_endpoint_lines(old, new))
    ]
    return ConfigDifference(tuple(lines), tuple(restart))


def needs_restart(old: Snapshot, new: Snapshot) -> tuple[str, ...]:
    """Those of `difference`, which for thousands of endpoints takes longer."""
    return tuple(_setting_lines(old, new)[1])


def _setting_lines(old: Snapshot, new: Snapshot) -> tuple[list[str], list[str]]:
    """All but those of endpoints, and of these the ones that a running proxy does not obey."""
    lines: list[str] = []
    restart: list[str] = []
    before, after = dict(_settings(old)), dict(_settings(new))
    contents = old.contents | new.contents
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key) != after.get(key):
            line = f"{key}: {hide(_change(key, before.get(key), after.get(key)), contents)}"
            lines.append(line)
            if key in _AT_START:
                restart.append(line)
    return lines, restart


def takes_effect(line: str) -> str:
    """When a line of `needs_restart` does; a rolling restart hands over the workers' state and sockets."""
    stop = line.startswith(("server.state:", "server.runtime_dir:"))
    return "after a full stop and start" if stop else "at the next restart"


def _endpoint_lines(old: Snapshot, new: Snapshot) -> Iterator[str]:
    before = {endpoint.name: endpoint for endpoint in old.endpoints}
    after = {endpoint.name: endpoint for endpoint in new.endpoints}
    for name, endpoint in after.items():
        if name not in before:
            yield f"{name}: added at {position_text(endpoint)}"
            continue
        if _given(before[name]) == _given(endpoint):
            continue
        was, now = _endpoint_settings(before[name]), _endpoint_settings(endpoint)
        if (position := _moved(before[name], endpoint)) is not None:
            yield f"{name}: {position}"
        for key in now:
            if was[key] != now[key]:
                unit = units.ENDPOINT.get(key, "")
                yield f"{name}: {key} {_text(was[key], unit)} -> {_text(now[key], unit)}"
    for name, endpoint in before.items():
        if name not in after:
            yield f"{name}: removed, it was at {position_text(endpoint)}"


def _endpoint_settings(endpoint: Endpoint) -> dict[str, Any]:
    skipped = ("index", "method", "template", "weight", "plan")
    endpoint = dataclasses.replace(endpoint, plan=None)  # its settings are those of `rollouts:`
    return {key: value for key, value in _flat("", endpoint) if key not in skipped}


def _moved(before: Endpoint, after: Endpoint) -> str | None:
    """Such as `weight 25 -> 50`, or `weight 25 -> rollout careful`."""
    was, now = position_text(before), position_text(after)
    if was == now:
        return None
    if before.plan is not None and after.plan is None:
        return f"{was} -> {now} (in force at once)"
    return f"{was} -> {now.partition(' ')[2] if (before.plan is None) == (after.plan is None) else now}"


def _settings(snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    yield from _flat("server.", snapshot.server)
    yield from _flat("server.buffers.", snapshot.buffers)
    yield from _flat("backends.legacy.", snapshot.legacy)
    yield from _flat("backends.async.", snapshot.async_)
    yield "sticky.key", snapshot.sticky
    yield "sticky.salt", snapshot.salt
    yield "sticky.unkeyed", snapshot.unkeyed
    yield "override.token", snapshot.override_token
    yield "unlisted", snapshot.unlisted
    for phase in snapshot.phases:
        yield from _flat(f"phases.{phase.name}.", phase)
    yield "phases", tuple(phase.name for phase in snapshot.phases)
    yield from _flat("retries.", snapshot.retries)
    yield from _flat("breaker.", snapshot.breaker)
    yield from _flat("idempotency.", snapshot.idempotency)
    yield from _flat("compare.", snapshot.compare)
    yield from _flat("compression.", snapshot.compression)


def _flat(prefix: str, section: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(f"{prefix}{field.name}.", value)
        elif field.init and field.name != "name":  # what is computed is no setting
            yield f"{prefix}{field.name}", value


def _change(key: str, before: Any, after: Any) -> str:
    if key in _SECRETS:
        return "changed"
    was, now = (_setting(key, value) for value in (before, after))
    return "tokens changed" if was == now and key == "server.admin_users" else f"{was} -> {now}"


def _setting(key: str, value: Any) -> str:
    if value == 0 and key in ("server.workers", "server.limits.connections"):
        return "auto"
    return _text(value, units.SETTINGS.get(key, ""))


def _text(value: Any, unit: str = "") -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if unit:
        return f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Upstream):
        return value.url
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text}" for name, text in value.items()) or "none"
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, tuple) and not isinstance(value, KeySource):
        return ", ".join(map(_text, value)) or "none"
    return str(value)
