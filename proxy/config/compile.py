"""Turns the validated model, or its plain values, into the snapshot that decisions are based on.

Workers compile: nothing here imports the schema before it is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from proxy.config.plain import defaults, endpoints_of, general_of
from proxy.config.plans import compile_plan
from proxy.config.rules import compile_rule
from proxy.config.templates import first_literal
from proxy.config.urls import upstream
from proxy.core.routing.keys import Assignment
from proxy.core.routing.phases import phase_of
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import Table
from proxy.core.settings import (
    SAFE_METHODS,
    AdminUser,
    Backend,
    BackendName,
    BackendTimeouts,
    BreakerSettings,
    Buffers,
    Compare,
    Compression,
    Endpoint,
    Health,
    Idempotency,
    KeyKind,
    KeySource,
    Limits,
    Phase,
    Retries,
    RolloutPlan,
    Server,
    ServerTimeouts,
)

if TYPE_CHECKING:
    from proxy.config import model

_SECRETS: Final = (("server", "admin_token"), ("server", "state"), ("override", "token"))
_INHERITED: Final = ("buffers", "breaker", "compare")
_DIGEST_KEY: Final = b"strangler config hash"

SLICE: Final = 20  # endpoints: about two milliseconds

_Values = TypeVar("_Values", Buffers, BreakerSettings)


class _General(NamedTuple):
    """What endpoints take over where they say nothing themselves."""

    phases: tuple[Phase, ...]
    sticky: tuple[KeySource, ...]
    buffers: Buffers
    breaker: BreakerSettings
    compare: Compare
    plans: dict[str, RolloutPlan]


def compile_model(config: model.Config, contents: frozenset[str] = frozenset()) -> Snapshot:
    """`contents` are what files with secrets hold: no line about a change says them."""
    general = _general(config)
    endpoints = tuple(
        _endpoint(index, name, endpoint, general)
        for index, (name, endpoint) in enumerate(config.endpoints.items())
    )
    return _snapshot(config, general, config_hash(config), endpoints, Table.build(endpoints), contents)


def compile_values(values: dict[str, Any], hash: str) -> Iterator[Snapshot | None]:
    """Yields None after every SLICE endpoints, so that others may have their turn; at last the snapshot.

    `values` are a `Loaded.values`, and `hash` that of its snapshot. They have been validated: of others it
    raises whatever comes first.
    """
    usual = defaults(values["endpoint"])
    yield from _in_slices(
        general_of(values), hash, values["endpoints"], lambda listed: endpoints_of(listed, usual)
    )


def compile_in_slices(document: dict[str, Any], hash: str) -> Iterator[Snapshot | None]:
    """As `compile_values`, of a `Loaded.document`, which control processes of older versions send.

    Raises pydantic.ValidationError for others, and ValueError.
    """
    from pydantic import TypeAdapter  # and the schema: together half of a worker's start

    from proxy.config.model import Config, EndpointKey, EndpointSection

    config = Config.model_validate({**document, "endpoints": {}})
    validate = TypeAdapter(dict[EndpointKey, EndpointSection]).validate_python
    yield from _in_slices(config, hash, document.get("endpoints") or {}, validate)


def _in_slices(
    config: model.Config,
    hash: str,
    listed: dict[str, Any],
    read: Callable[[dict[str, Any]], dict[str, model.EndpointSection]],
) -> Iterator[Snapshot | None]:
    yield None
    general = _general(config)
    salt = config.sticky.salt.encode()
    endpoints: list[Endpoint] = []
    assignments: list[Assignment] = []
    table = Table.build([])
    items = iter(listed.items())
    while part := dict(islice(items, SLICE)):
        for name, each in read(part).items():
            endpoint = _endpoint(len(endpoints), name, each, general)
            assignments.append(Assignment.of(endpoint, salt))
            table.add(endpoint)
            endpoints.append(endpoint)
        yield None
    yield _snapshot(config, general, hash, tuple(endpoints), table, assignments=tuple(assignments))


def _general(config: model.Config) -> _General:
    return _General(
        tuple(_phase(name, phase) for name, phase in config.phases.items()),
        tuple(key_source(text) for text in config.sticky.key),
        Buffers(**config.server.buffers.model_dump()),
        BreakerSettings(**config.breaker.model_dump()),
        _compare(Compare(), config.compare),
        {name: compile_plan(name, plan) for name, plan in config.rollouts.items()},
    )


def _snapshot(
    config: model.Config,
    general: _General,
    hash: str,
    endpoints: tuple[Endpoint, ...],
    table: Table,
    contents: frozenset[str] = frozenset(),
    assignments: tuple[Assignment, ...] = (),
) -> Snapshot:
    return Snapshot(
        hash=hash,
        server=_server(config.server),
        legacy=_backend("legacy", config.backends.legacy),
        async_=_backend("async", config.backends.async_),
        salt=config.sticky.salt.encode(),
        sticky=general.sticky,
        unkeyed=cast(Any, config.sticky.unkeyed),
        override_token=config.override.token,
        unlisted=cast(Any, config.unlisted),
        phases=general.phases,
        retries=Retries(**config.retries.model_dump()),
        buffers=general.buffers,
        endpoints=endpoints,
        table=table,
        idempotency=_idempotency(config.idempotency),
        compare=general.compare,
        compression=Compression(**config.compression.model_dump()),
        breaker=general.breaker,
        contents=contents,
        plans=tuple(plan for _, plan in sorted(general.plans.items())),
        assignments=assignments,
    )


def config_hash(config: model.Config) -> str:
    """16 hex digits over what the file means: comments, order of endpoints and spelling do not matter."""
    document: Any = config.model_dump(mode="json", by_alias=True)
    document["phases"] = list(document["phases"].items())  # here the order matters
    for name, endpoint in config.endpoints.items():
        for key in _INHERITED:  # only what is given: the rest follows the general settings, not the defaults
            section = getattr(endpoint, key)
            given = section.model_dump(mode="json", exclude_unset=True) if section.model_fields_set else {}
            document["endpoints"][name][key] = given
    for part, key in _SECRETS:
        document[part][key] = _digest(document[part][key])
    for user in document["server"]["admin_users"]:
        user["token"] = _digest(user["token"])
    for plan in document["rollouts"].values():
        plan["webhook"] = _digest(plan["webhook"])
        plan["first"] = sorted(map(_digest, plan["first"]))
        plan["approve"] = sorted(set(plan["approve"]))
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _digest(secret: str) -> str:
    return hmac.new(_DIGEST_KEY, secret.encode(), hashlib.sha256).hexdigest()


def key_source(text: str) -> KeySource:
    kind, _, name = text.partition(":")
    return KeySource(cast(KeyKind, kind), name)


def _server(server: model.ServerSection) -> Server:
    limits = server.limits
    values = server.model_dump(exclude={"buffers", "timeouts", "limits", "workers", "access_log"})
    values["trusted_proxies"] = tuple(server.trusted_proxies)
    values["admin_users"] = tuple(
        AdminUser(user.name, cast(Any, user.role), user.token) for user in server.admin_users
    )
    return Server(
        **values,
        workers=_auto(server.workers),
        access_log=None if server.access_log == "off" else server.access_log,
        timeouts=ServerTimeouts(**server.timeouts.model_dump()),
        limits=Limits(**{**limits.model_dump(), "connections": _auto(limits.connections)}),
    )


def _backend(name: BackendName, backend: model.BackendSection) -> Backend:
    header = backend.dry_run.header
    return Backend(
        name=name,
        upstreams=tuple(upstream(url) for url in addresses(backend)),
        host=None if backend.host == "preserve" else backend.host,
        connections=backend.connections,
        tunnels=_auto(backend.tunnels) or backend.connections,
        stalled=backend.stalled,
        idempotent=backend.idempotent,
        not_executed=frozenset(backend.not_executed),
        health=Health(**{**backend.health.model_dump(), "status": frozenset(backend.health.status)}),
        dry_run=dict([header.split(": ", 1)]) if header else {},
        version=backend.version,
        timeouts=BackendTimeouts(**backend.timeouts.model_dump()),
    )


def addresses(backend: model.BackendSection) -> tuple[str, ...]:
    return backend.urls if backend.urls is not None else (backend.url,) if backend.url is not None else ()


def _idempotency(settings: model.IdempotencySection) -> Idempotency:
    return Idempotency(
        header=settings.header.lower().encode("ascii"),
        principal=tuple(key_source(text) for text in settings.principal),
        ttl=settings.ttl,
        max_body=settings.max_body,
        max_response=settings.max_response,
        max_store=settings.max_store,
        **settings.statuses.model_dump(),
    )


def _phase(name: str, phase: model.PhaseSection) -> Phase:
    return Phase(name, frozenset(phase.methods), phase.after, cast(Any, phase.scope))


def _endpoint(index: int, name: str, endpoint: model.EndpointSection, general: _General) -> Endpoint:
    method, _, template = name.partition(" ")
    safe = method in SAFE_METHODS if endpoint.safe is None else endpoint.safe
    fallback = endpoint.fallback or ("legacy" if safe else "none")
    sticky = endpoint.sticky
    return Endpoint(
        index=index,
        method=method,
        template=template,
        weight=endpoint.weight,
        group=endpoint.group if endpoint.group is not None else first_literal(template),
        phase=endpoint.phase or phase_of(method, general.phases),
        safe=safe,
        sticky=general.sticky if sticky is None else tuple(key_source(text) for text in sticky),
        fallback="legacy" if fallback == "legacy" else None,
        response_timeout=endpoint.timeouts.response,
        idle_timeout=endpoint.timeouts.idle,
        idempotency=cast(Any, endpoint.idempotency or ("off" if safe else "optional")),
        buffers=_over(general.buffers, endpoint.buffers),
        breaker=_over(general.breaker, endpoint.breaker),
        compare=_compare(general.compare, endpoint.compare),
        compression=endpoint.compression == "on",
        force=endpoint.force,
        plan=None if endpoint.rollout is None else _plan(endpoint.rollout, general),
    )


def _plan(name: str, general: _General) -> RolloutPlan:
    """The very same for all endpoints that follow it. Raises ValueError."""
    plan = general.plans.get(name)
    if plan is None:
        raise ValueError(f"{name} is not a plan")
    return plan


def _compare(general: Compare, special: model.CommonCompareSection) -> Compare:
    """Values replace the general ones; rules and redactions are added to them."""
    if not special.model_fields_set:
        return general  # the very same: with thousands of endpoints it is most of them
    given = special.model_dump(exclude={"headers", "rules", "redact"}, exclude_unset=True)
    if "headers" in special.model_fields_set:
        given["headers"] = tuple(name.lower() for name in special.headers)
    rules = (*general.rules, *map(compile_rule, special.rules))
    return replace(general, **given, rules=rules, redact=(*general.redact, *special.redact))


def _over(general: _Values, special: model.Section) -> _Values:
    """The general values, with those that the endpoint itself gives in their place."""
    return replace(general, **special.model_dump(exclude_unset=True)) if special.model_fields_set else general


def _auto(value: int | str) -> int:
    return value if isinstance(value, int) else 0
