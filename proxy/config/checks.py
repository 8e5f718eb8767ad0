"""Rules between several keys, which no single value can check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.config.compile import addresses
from proxy.config.errors import Path
from proxy.config.model import BackendSection, Config, EndpointSection, ServerSection
from proxy.config.plans import check_plans, check_rollout
from proxy.config.rules import check_rules
from proxy.config.templates import parameters, shape
from proxy.config.urls import is_loopback
from proxy.core.settings import ADMIN, SAFE_METHODS

KEY: Final = "[key]"
"""Last in a path: it is about the key itself, not its value. Pydantic's own word for it."""

Complaints = Iterator[tuple[Path, str]]
"""Paths of what is wrong, each with a phrase that follows the value."""


def checks(config: Config) -> Complaints:
    if not is_loopback(config.server.admin) and not (config.server.admin_token or config.server.admin_users):
        required = "server.admin_token is required, or a user in server.admin_users"
        yield ("server", "admin"), f"is not a loopback address, so {required}"
    yield from _users(config.server)
    if config.server.admin == config.server.listen and not config.server.listen.endswith(":0"):
        yield ("server", "admin"), "is also server.listen: each needs its own address"
    limits = config.server.limits
    if "target_bytes" in limits.model_fields_set and limits.target_bytes > limits.header_bytes:
        yield (
            ("server", "limits", "target_bytes"),
            "is larger than server.limits.header_bytes, which includes it",
        )
    yield from _backend(("backends", "legacy"), config.backends.legacy)
    yield from _backend(("backends", "async"), config.backends.async_)
    if not config.sticky.key:
        yield ("sticky", "key"), "is empty: name at least one source"
    if not config.idempotency.principal:
        yield ("idempotency", "principal"), "is empty: name at least one source, such as credential"
    if config.retries.max_backoff < config.retries.backoff:
        yield ("retries", "max_backoff"), "is shorter than retries.backoff"
    yield from _phases(config)
    yield from check_rules(("compare", "rules"), config.compare.rules)
    yield from check_plans(config)
    yield from _same_requests(list(config.endpoints))
    for name, endpoint in config.endpoints.items():
        yield from _endpoint(("endpoints", name), name, endpoint, config)


def _users(server: ServerSection) -> Complaints:
    names = {ADMIN.casefold()} if server.admin_token else set()
    tokens = {server.admin_token} if server.admin_token else set()
    for position, user in enumerate(server.admin_users):
        path: Path = ("server", "admin_users", position)
        if not user.name:
            yield (*path, "name"), "is required: the audit log records it"
        elif user.name.casefold() in names:
            also = f", or {ADMIN}, which is the name of server.admin_token" if server.admin_token else ""
            yield (*path, "name"), f"is the name of another user{also}: each user needs its own"
        if not user.token:
            yield (*path, "token"), "is required, such as ${file:/run/secrets/token}"
        elif user.token in tokens:
            yield (*path, "token"), "is also the token of another user: each user needs its own"
        names.add(user.name.casefold())
        tokens.add(user.token)


def _backend(path: Path, backend: BackendSection) -> Complaints:
    if backend.url is not None and backend.urls is not None:
        yield (*path, "urls"), "cannot be combined with url: use one of them"
    elif not addresses(backend):
        yield (*path, "url"), "is required, such as http://127.0.0.1:5001"
    if len(set(addresses(backend))) != len(addresses(backend)):
        yield (*path, "urls"), "lists the same address twice"


def _phases(config: Config) -> Complaints:
    before: list[str] = []
    for name, phase in config.phases.items():
        if phase.after is not None and phase.after not in before:
            yield ("phases", name, "after"), f"is not a phase listed before this one{_of(before)}"
        before.append(name)


def _same_requests(names: Sequence[str]) -> Complaints:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(shape(name), name)
        if other != name:
            yield ("endpoints", name, KEY), f'matches the same requests as "{other}"'


def _endpoint(path: Path, name: str, endpoint: EndpointSection, config: Config) -> Complaints:
    template = name.partition(" ")[2]
    if endpoint.phase is not None and endpoint.phase not in config.phases:
        yield (*path, "phase"), f"is not a phase{_of(list(config.phases))}"
    if endpoint.force is not None and not endpoint.force.strip():
        yield (*path, "force"), "is empty: give the reason why this endpoint may move before its phase"
    for position, source in enumerate(endpoint.sticky or ()):
        kind, _, param = source.partition(":")
        if kind == "path" and param not in parameters(template):
            yield (*path, "sticky", position), f"is not a parameter of {template}"
    yield from _compare((*path, "compare"), name, endpoint, config)
    yield from check_rollout((*path, "rollout"), endpoint, config, safe=_is_safe(name, endpoint))
    if endpoint.sticky == ():
        yield (*path, "sticky"), "is empty: name at least one source or leave it out"


def _compare(path: Path, name: str, endpoint: EndpointSection, config: Config) -> Complaints:
    """Read-back and dry run are for writes; what they need must be there."""
    settings = endpoint.compare
    yield from check_rules((*path, "rules"), settings.rules)
    shown = settings.read_back
    safe = _is_safe(name, endpoint)
    if safe and shown is not None:
        yield (*path, "read_back"), "is only for endpoints that change something"
    elif shown is not None and not (shown in config.endpoints and _is_safe(shown, config.endpoints[shown])):
        yield (*path, "read_back"), "is not a listed endpoint with a safe method"
    if safe and settings.dry_run:
        yield (*path, "dry_run"), "is only for endpoints that change something"
    elif settings.dry_run and not (
        config.backends.legacy.dry_run.header or config.backends.async_.dry_run.header
    ):
        yield (*path, "dry_run"), "needs a backend that supports it: set backends.async.dry_run.header"


def _is_safe(name: str, endpoint: EndpointSection) -> bool:
    return name.partition(" ")[0] in SAFE_METHODS if endpoint.safe is None else endpoint.safe


def _of(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
