"""The schema of routing.yaml. Field names are its keys; values are parsed: seconds, bytes, ratios.

docs/configuration.md explains every key; a test holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from proxy.config import types as t
from proxy.config.templates import parse_endpoint
from proxy.core import settings
from proxy.core.resilience import liveness

KIB = 1024
DEFAULT_TYPES = settings.Compression().types


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
EndpointKey = Annotated[str, PlainValidator(parse_endpoint)]


class ServerTimeouts(Section):
    header: t.Duration = 10.0
    body: t.Duration = 30.0
    keep_alive: t.Duration = 75.0
    drain: t.Duration = 30.0
    worker: Annotated[float, PlainValidator(t.lasting(liveness.SHORTEST))] = 15.0
    orphan: Annotated[float, PlainValidator(t.lasting_or_never(1.0))] = 0.0


class Limits(Section):
    header_bytes: Annotated[int, PlainValidator(t.sized(KIB, 2**24))] = 32 * KIB
    headers: Annotated[int, PlainValidator(t.whole(1, 10_000))] = 100
    target_bytes: Annotated[int, PlainValidator(t.sized(64, 2**20))] = 8 * KIB
    body_bytes: t.Size = 0
    connections: Annotated[int | str, PlainValidator(t.whole(1, 1_000_000, "auto"))] = "auto"
    min_rate: t.Size = 0


class Buffers(Section):
    request: t.Size = 64 * KIB
    response: t.Size = 256 * KIB


class AdminUser(Section):
    name: t.UserName = ""
    token: t.Secret = ""
    role: Annotated[str, PlainValidator(t.choice("viewer", "operator"))] = "viewer"


class Server(Section):
    listen: t.Listen = "127.0.0.1:8000"
    admin: t.Listen = "127.0.0.1:9000"
    admin_token: t.Secret = ""
    admin_users: tuple[AdminUser, ...] = ()
    admin_write: t.Flag = False
    workers: Annotated[int | str, PlainValidator(t.whole(1, 1024, "auto"))] = "auto"
    runtime_dir: t.FilePath = ".strangler"
    state: t.State = "sqlite:///.strangler/state.db"
    trusted_proxies: tuple[t.Network, ...] = ()
    expose_backend: t.Flag = True
    access_log: t.FilePath = "off"
    timeouts: ServerTimeouts = ServerTimeouts()
    limits: Limits = Limits()
    buffers: Buffers = Buffers()
    ambiguous_paths: Annotated[str, PlainValidator(t.choice("forward", "reject"))] = "forward"
    underscores: Annotated[str, PlainValidator(t.choice("drop", "pass"))] = "drop"
    abort_on_eof: Annotated[bool | str, PlainValidator(t.flag_or("safe"))] = "safe"


class Health(Section):
    path: t.TargetOrNothing = ""
    interval: t.Duration = 5.0
    host: t.HealthHost = ""
    port: Annotated[int, PlainValidator(t.whole(0, 65535))] = 0
    status: tuple[t.Status, ...] = ()
    headers: tuple[t.HealthHeader, ...] = ()


class DryRun(Section):
    header: t.HeaderLine | None = None


class BackendTimeouts(Section):
    connect: t.Duration = 2.0
    response: t.Duration = 30.0
    idle: t.Duration = 60.0
    pool_idle: t.Duration = 4.0
    pool_age: t.Duration = 300.0


class Backend(Section):
    url: t.Url | None = None
    urls: tuple[t.Url, ...] | None = None
    host: t.Host = "preserve"
    connections: Positive = 256
    tunnels: Annotated[int | str, PlainValidator(t.whole(1, 1_000_000, "auto"))] = "auto"
    stalled: t.Share = 0.5
    idempotent: t.Flag = False
    not_executed: tuple[t.Status, ...] = (429,)
    health: Health = Health()
    dry_run: DryRun = DryRun()
    version: t.Text = ""
    timeouts: BackendTimeouts = BackendTimeouts()

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.urls if self.urls is not None else (self.url,) if self.url is not None else ()


class Backends(Section):
    legacy: Backend = Backend()
    async_: Backend = Field(default=Backend(), alias="async")


class Sticky(Section):
    key: KeySources = ("header:x-user-id", "bearer")
    salt: t.Salt = "default"
    unkeyed: Annotated[str, PlainValidator(t.choice("random", "legacy"))] = "random"


class Override(Section):
    token: t.Secret = ""


class Phase(Section):
    methods: tuple[t.Method, ...] = ()
    after: t.Text | None = None
    scope: Annotated[str, PlainValidator(t.choice("all", "group"))] = "all"


class Retries(Section):
    budget: t.Share = 0.2
    min_per_second: t.Rate = 3.0
    backoff: t.Duration = 0.025
    max_backoff: t.Duration = 0.25


class Breaker(Section):
    window: t.Duration = 10.0
    min_requests: Positive = 20
    failure_ratio: t.Ratio = 0.5
    consecutive: Positive = 5
    open_for: t.Duration = 10.0


class Statuses(Section):
    missing: t.Refusal = 400
    in_flight: t.Refusal = 409
    mismatch: t.Refusal = 422


class Idempotency(Section):
    header: t.Token = "idempotency-key"
    principal: Principals = ("credential",)
    ttl: t.Duration = 24 * 3600.0
    max_body: t.Size = 1024 * KIB
    max_response: t.Size = 256 * KIB
    max_store: t.Size = 0
    statuses: Statuses = Statuses()


class CompareRule(Section):
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


class Compared(Section):
    """What the general settings and those of an endpoint have in common."""

    sample: t.Share = 0.0
    max_body: t.Size = 256 * KIB
    headers: tuple[t.Token, ...] = ("content-type", "location", "cache-control", "etag")
    rules: tuple[CompareRule, ...] = ()
    redact: tuple[t.Redacted, ...] = ()


class Compare(Compared):
    in_flight: Positive = 32
    rate: t.Rate = 50.0
    ttl: t.Duration = 14 * 86_400.0


class EndpointCompare(Compared):
    read_back: EndpointKey | None = None
    dry_run: t.Flag = False


class CompressionSettings(Section):
    """How answers of endpoints with `compression: on` are compressed."""

    codings: tuple[Coding, ...] = ("zstd", "br", "gzip")
    min_bytes: t.Size = KIB
    types: tuple[t.MediaRange, ...] = DEFAULT_TYPES


class EndpointTimeouts(Section):
    response: t.Duration | None = None
    idle: t.Duration | None = None


class Endpoint(Section):
    """What is not given here comes from the sections above; `breaker`, `buffers` and `compare` key by key."""

    weight: t.Weight = 0
    group: t.Text | None = None
    phase: t.Text | None = None
    safe: t.Flag | None = None
    sticky: KeySources | None = None
    force: t.Text | None = None
    fallback: Fallback | None = None
    timeouts: EndpointTimeouts = EndpointTimeouts()
    idempotency: Mode | None = None
    buffers: Buffers = Buffers()
    compare: EndpointCompare = EndpointCompare()
    compression: Compression = "off"
    breaker: Breaker = Breaker()


DEFAULT_PHASES = {
    "reads": Phase(methods=("GET", "HEAD", "OPTIONS")),
    "writes": Phase(methods=("POST", "PUT", "PATCH", "DELETE"), after="reads"),
}


def _phases(value: Any) -> Any:
    return DEFAULT_PHASES if value is None else value


def _endpoints(value: Any) -> Any:
    return {} if value is None else value


class Config(Section):
    """The whole file."""

    server: Server = Server()
    backends: Backends = Backends()
    sticky: Sticky = Sticky()
    override: Override = Override()
    unlisted: Annotated[str, PlainValidator(t.choice("legacy", "async", "404"))] = "legacy"
    phases: Annotated[dict[t.Text, Phase], BeforeValidator(_phases)] = DEFAULT_PHASES
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    idempotency: Idempotency = Idempotency()
    compare: Compare = Compare()
    compression: CompressionSettings = CompressionSettings()
    endpoints: Annotated[dict[EndpointKey, Endpoint], BeforeValidator(_endpoints)] = {}
