"""The schema of routing.yaml. Field names are its keys; values are parsed: seconds, bytes, ratios.

docs/configuration.md explains every key; a test holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from proxy.config import plan_types as p
from proxy.config import types as t
from proxy.config.templates import parse_endpoint
from proxy.core import settings
from proxy.core.resilience import liveness

KIB = 1024

# Their defaults are those that are used; what is written differently there stands here.
_SERVER: Final = settings.Server()
_BACKEND: Final = settings.Backend("legacy", ())
_BUFFERS: Final = settings.Buffers()
_RETRIES: Final = settings.Retries()
_BREAKER: Final = settings.BreakerSettings()
_IDEMPOTENCY: Final = settings.Idempotency()
_COMPARE: Final = settings.Compare()
_COMPRESSION: Final = settings.Compression()
_PLAN: Final = settings.RolloutPlan("", ())


class Section(BaseModel):
    """Strict; a section that is left empty means its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


KeySources = Annotated[tuple[t.KeySourceText, ...], BeforeValidator(_listed)]
Principals = Annotated[tuple[t.Principal, ...], BeforeValidator(_listed)]
Compression = Annotated[str, PlainValidator(t.choice("off", "on"))]
Coding = Annotated[str, PlainValidator(t.choice("zstd", "br", "gzip"))]
Fallback = Annotated[str, PlainValidator(t.choice("legacy", "none"))]
Mode = Annotated[str, PlainValidator(t.choice("off", "record", "optional", "required"))]
Positive = Annotated[int, PlainValidator(t.whole(1, 1_000_000))]
Count = Annotated[int, PlainValidator(t.whole(0, 1_000_000))]
EndpointKey = Annotated[str, PlainValidator(parse_endpoint)]


class ServerTimeoutsSection(Section):
    header: t.Duration = _SERVER.timeouts.header
    body: t.Duration = _SERVER.timeouts.body
    keep_alive: t.Duration = _SERVER.timeouts.keep_alive
    drain: t.Duration = _SERVER.timeouts.drain
    worker: Annotated[float, PlainValidator(t.lasting(liveness.SHORTEST)), t.SECONDS] = (
        _SERVER.timeouts.worker
    )
    orphan: Annotated[float, PlainValidator(t.lasting_or_never(1.0)), t.SECONDS] = _SERVER.timeouts.orphan


class LimitsSection(Section):
    header_bytes: Annotated[int, PlainValidator(t.sized(KIB, 2**24)), t.BYTES] = _SERVER.limits.header_bytes
    headers: Annotated[int, PlainValidator(t.whole(1, 10_000))] = _SERVER.limits.headers
    target_bytes: Annotated[int, PlainValidator(t.sized(64, 2**20)), t.BYTES] = _SERVER.limits.target_bytes
    body_bytes: t.Size = _SERVER.limits.body_bytes
    connections: Annotated[int | str, PlainValidator(t.whole(1, 1_000_000, "auto"))] = "auto"
    min_rate: t.ByteRate = _SERVER.limits.min_rate


class BuffersSection(Section):
    request: t.Size = _BUFFERS.request
    response: t.Size = _BUFFERS.response


class AdminUserSection(Section):
    name: t.UserName = ""
    token: t.Secret = ""
    role: Annotated[str, PlainValidator(t.choice("viewer", "operator"))] = "viewer"


class ServerSection(Section):
    listen: t.Listen = _SERVER.listen
    admin: t.Listen = _SERVER.admin
    admin_token: t.Secret = _SERVER.admin_token
    admin_users: tuple[AdminUserSection, ...] = ()
    admin_write: t.Flag = _SERVER.admin_write
    workers: Annotated[int | str, PlainValidator(t.whole(1, 1024, "auto"))] = "auto"
    runtime_dir: t.FilePath = _SERVER.runtime_dir
    state: t.State = _SERVER.state
    trusted_proxies: tuple[t.Network, ...] = _SERVER.trusted_proxies
    expose_backend: t.Flag = _SERVER.expose_backend
    access_log: t.FilePath = "off"
    timeouts: ServerTimeoutsSection = ServerTimeoutsSection()
    limits: LimitsSection = LimitsSection()
    buffers: BuffersSection = BuffersSection()
    ambiguous_paths: Annotated[str, PlainValidator(t.choice("forward", "reject"))] = _SERVER.ambiguous_paths
    underscores: Annotated[str, PlainValidator(t.choice("drop", "pass"))] = _SERVER.underscores
    abort_on_eof: Annotated[bool | str, PlainValidator(t.flag_or("safe"))] = _SERVER.abort_on_eof


class HealthSection(Section):
    path: t.TargetOrNothing = _BACKEND.health.path
    interval: t.Duration = _BACKEND.health.interval
    host: t.HealthHost = _BACKEND.health.host
    port: Annotated[int, PlainValidator(t.whole(0, 65535))] = _BACKEND.health.port
    status: tuple[t.Status, ...] = ()
    headers: tuple[t.HealthHeader, ...] = ()


class DryRunSection(Section):
    header: t.HeaderLine | None = None


class BackendTimeoutsSection(Section):
    connect: t.Duration = _BACKEND.timeouts.connect
    response: t.Duration = _BACKEND.timeouts.response
    idle: t.Duration = _BACKEND.timeouts.idle
    pool_idle: t.Duration = _BACKEND.timeouts.pool_idle
    pool_age: t.Duration = _BACKEND.timeouts.pool_age


class BackendSection(Section):
    url: t.Url | None = None
    urls: tuple[t.Url, ...] | None = None
    host: t.Host = "preserve"
    connections: Positive = _BACKEND.connections
    tunnels: Annotated[int | str, PlainValidator(t.whole(1, 1_000_000, "auto"))] = "auto"
    stalled: t.Share = _BACKEND.stalled
    idempotent: t.Flag = _BACKEND.idempotent
    not_executed: tuple[t.Status, ...] = (429,)
    health: HealthSection = HealthSection()
    dry_run: DryRunSection = DryRunSection()
    version: t.Text = _BACKEND.version
    timeouts: BackendTimeoutsSection = BackendTimeoutsSection()


class BackendsSection(Section):
    legacy: BackendSection = BackendSection()
    async_: BackendSection = Field(default=BackendSection(), alias="async")


class StickySection(Section):
    key: KeySources = ("header:x-user-id", "bearer")
    salt: t.Salt = "default"
    unkeyed: Annotated[str, PlainValidator(t.choice("random", "legacy"))] = "random"


class OverrideSection(Section):
    token: t.Secret = ""


class PhaseSection(Section):
    methods: tuple[t.Method, ...] = ()
    after: t.Text | None = None
    scope: Annotated[str, PlainValidator(t.choice("all", "group"))] = "all"


class RetriesSection(Section):
    budget: t.Share = _RETRIES.budget
    min_per_second: t.Rate = _RETRIES.min_per_second
    backoff: t.Duration = _RETRIES.backoff
    max_backoff: t.Duration = _RETRIES.max_backoff


class BreakerSection(Section):
    window: t.Duration = _BREAKER.window
    min_requests: Positive = _BREAKER.min_requests
    failure_ratio: t.Ratio = _BREAKER.failure_ratio
    consecutive: Positive = _BREAKER.consecutive
    give_ups: Count = _BREAKER.give_ups
    open_for: t.Duration = _BREAKER.open_for


class StatusesSection(Section):
    missing: t.Refusal = _IDEMPOTENCY.missing
    in_flight: t.Refusal = _IDEMPOTENCY.in_flight
    mismatch: t.Refusal = _IDEMPOTENCY.mismatch


class IdempotencySection(Section):
    header: t.Token = "idempotency-key"
    principal: Principals = ("credential",)
    ttl: t.Duration = _IDEMPOTENCY.ttl
    max_body: t.Size = _IDEMPOTENCY.max_body
    max_response: t.Size = _IDEMPOTENCY.max_response
    max_store: t.Size = _IDEMPOTENCY.max_store
    statuses: StatusesSection = StatusesSection()


class CompareRuleSection(Section):
    """One of the first five says the kind and the place."""

    ignore: t.FieldPath | None = None
    unordered: t.FieldPath | None = None
    tolerance: t.FieldPath | None = None
    time: t.FieldPath | None = None
    equal: t.FieldPath | None = None
    by: t.Text | None = None
    within: t.Within | None = None
    values: tuple[t.Scalar, ...] | None = None
    reason: t.Text = ""
    owner: t.Text = ""
    expires: t.Day | None = None


class CommonCompareSection(Section):
    """What the general settings and those of an endpoint have in common."""

    sample: t.Share = _COMPARE.sample
    max_body: t.Size = _COMPARE.max_body
    headers: tuple[t.Token, ...] = _COMPARE.headers
    parity: t.Parity = _COMPARE.parity
    rules: tuple[CompareRuleSection, ...] = ()
    redact: tuple[t.Redacted, ...] = ()


class CompareSection(CommonCompareSection):
    in_flight: Positive = _COMPARE.in_flight
    rate: t.Rate = _COMPARE.rate
    ttl: t.Duration = _COMPARE.ttl


class EndpointCompareSection(CommonCompareSection):
    read_back: EndpointKey | None = None
    dry_run: t.Flag = _COMPARE.dry_run


class CompressionSection(Section):
    """How answers of endpoints with `compression: on` are compressed."""

    codings: tuple[Coding, ...] = _COMPRESSION.codings
    min_bytes: t.Size = _COMPRESSION.min_bytes
    types: tuple[t.MediaRange, ...] = _COMPRESSION.types


class AdvanceSection(Section):
    """None is `off`."""

    failing: p.Share = _PLAN.advance.failing
    no_worse: p.Times = _PLAN.advance.no_worse
    slower: p.Times = _PLAN.advance.slower
    parity: p.Share = _PLAN.advance.parity


class RollbackSection(Section):
    alpha: p.Alpha = _PLAN.alpha
    to: p.To = "0"


class RolloutSection(Section):
    """One plan; `steps` are required."""

    steps: tuple[t.Weight, ...] = ()
    dwell: p.Dwell = _PLAN.dwell
    advance: AdvanceSection = AdvanceSection()
    rollback: RollbackSection = RollbackSection()
    approve: tuple[t.Weight, ...] = ()
    first: tuple[p.StickyKey, ...] = _PLAN.first
    retry: p.Retry = _PLAN.retry
    hours: p.HoursText = _PLAN.hours
    webhook: p.Webhook = _PLAN.webhook


class EndpointTimeoutsSection(Section):
    response: t.Duration | None = None
    idle: t.Duration | None = None


class EndpointSection(Section):
    """What is not given here comes from the sections above; `breaker`, `buffers` and `compare` key by key."""

    weight: t.Weight = 0
    rollout: t.Text | None = None
    group: t.Text | None = None
    phase: t.Text | None = None
    safe: t.Flag | None = None
    sticky: KeySources | None = None
    force: t.Text | None = None
    fallback: Fallback | None = None
    timeouts: EndpointTimeoutsSection = EndpointTimeoutsSection()
    idempotency: Mode | None = None
    buffers: BuffersSection = BuffersSection()
    compare: EndpointCompareSection = EndpointCompareSection()
    compression: Compression = "off"
    breaker: BreakerSection = BreakerSection()


DEFAULT_PHASES = {
    "reads": PhaseSection(methods=("GET", "HEAD", "OPTIONS")),
    "writes": PhaseSection(methods=("POST", "PUT", "PATCH", "DELETE"), after="reads"),
}


def _phases(value: Any) -> Any:
    return DEFAULT_PHASES if value is None else value


def _named(value: Any) -> Any:
    return {} if value is None else value


class Config(Section):
    """The whole file."""

    server: ServerSection = ServerSection()
    backends: BackendsSection = BackendsSection()
    sticky: StickySection = StickySection()
    override: OverrideSection = OverrideSection()
    unlisted: Annotated[str, PlainValidator(t.choice("legacy", "async", "404"))] = "legacy"
    phases: Annotated[dict[t.Text, PhaseSection], BeforeValidator(_phases)] = DEFAULT_PHASES
    retries: RetriesSection = RetriesSection()
    breaker: BreakerSection = BreakerSection()
    idempotency: IdempotencySection = IdempotencySection()
    compare: CompareSection = CompareSection()
    compression: CompressionSection = CompressionSection()
    rollouts: Annotated[dict[t.Token, RolloutSection], BeforeValidator(_named)] = {}
    endpoints: Annotated[dict[EndpointKey, EndpointSection], BeforeValidator(_named)] = {}
