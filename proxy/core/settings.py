"""Every setting of routing.yaml as the proxy uses it: frozen, resolved, with its default.

`proxy.config` reads them, `proxy.core.routing.snapshot` holds them together. Units: seconds and bytes;
weights and buckets are hundredths of a percent (0-10000).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from proxy.core.documents.exactjson import Json, text_of
from proxy.core.documents.fieldpaths import Pattern, parse_pattern

# Plain strings, not enums: they are dictionary keys on the data path, and an Enum's hash is a Python call.
BackendName = Literal["legacy", "async"]
LEGACY: Final = "legacy"
ASYNC: Final = "async"
BACKENDS: Final[tuple[BackendName, BackendName]] = (LEGACY, ASYNC)

Reason = Literal["preflight", "unlisted", "owner", "override", "weight", "unkeyed", "breaker", "fallback"]
"""Why a request went where it went. `decide` asks preflight, unlisted, override, weight and unkeyed, in this
order; the edge applies owner, breaker and fallback afterwards."""

FULL_WEIGHT: Final = 10_000
"""Weight 100 (percent) in hundredths, and the number of buckets."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 section 9.2.1

KeyKind = Literal["header", "bearer", "cookie", "path", "jwt", "client-ip", "credential"]


class KeySource(NamedTuple):
    """One place a sticky key, or the principal of a keyed write, may come from.

    `name` is the header (lower case), cookie, path parameter or claim. Only principals have "credential".
    """

    kind: KeyKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


CREDENTIAL: Final = KeySource("credential")
"""The value of Authorization, however its scheme is spelled."""


@dataclass(frozen=True)
class Upstream:
    """One address of a backend. `host`/`port` for http and https, `path` for unix; `url` as configured."""

    url: str
    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True)
class BackendTimeouts:
    connect: float = 2.0
    response: float = 30.0
    idle: float = 60.0
    pool_idle: float = 4.0
    pool_age: float = 300.0


@dataclass(frozen=True)
class Health:
    path: str = ""
    interval: float = 5.0
    host: str = ""  # "": the backend's, or the address
    port: int = 0  # 0: the address's
    status: frozenset[int] = frozenset()  # none: 2xx and 3xx
    headers: tuple[str, ...] = ()  # "name: value"


@dataclass(frozen=True)
class Backend:
    name: BackendName
    upstreams: tuple[Upstream, ...]
    host: str | None = None  # None: the client's Host is preserved
    connections: int = 256
    tunnels: int = 256  # connections that were switched to another protocol; they come on top
    stalled: float = 0.5  # share of `connections` that slow clients may hold up while others wait
    idempotent: bool = False
    not_executed: frozenset[int] = frozenset({429})
    health: Health = Health()
    dry_run: Mapping[str, str] = field(default_factory=dict)
    version: str = ""  # where its answers say none
    timeouts: BackendTimeouts = BackendTimeouts()


@dataclass(frozen=True)
class BreakerSettings:
    window: float = 10.0
    min_requests: int = 20
    failure_ratio: float = 0.5
    consecutive: int = 5
    give_ups: int = 10  # 0: clients that leave say nothing about the endpoint
    open_for: float = 10.0


@dataclass(frozen=True)
class Buffers:
    request: int = 64 * 1024
    response: int = 256 * 1024


@dataclass(frozen=True)
class Retries:
    budget: float = 0.2
    min_per_second: float = 3.0
    backoff: float = 0.025
    max_backoff: float = 0.25


Mode = Literal["off", "record", "optional", "required"]
"""What an endpoint does with idempotency keys; `record` claims and counts, and changes nothing."""


@dataclass(frozen=True)
class Idempotency:
    """Keyed writes. `principal`: the first source that is found; all who have none share one."""

    header: bytes = b"idempotency-key"  # lower case
    principal: tuple[KeySource, ...] = (CREDENTIAL,)
    ttl: float = 24 * 3600.0
    max_body: int = 1024 * 1024
    max_response: int = 256 * 1024
    max_store: int = 0  # bytes of answers in the store; 0: no limit
    missing: int = 400
    in_flight: int = 409
    mismatch: int = 422


RuleKind = Literal["ignore", "unordered", "tolerance", "time", "equal"]


@dataclass(frozen=True, slots=True)
class ComparisonRule:
    """One entry of `compare.rules`. `path` is a pattern of `proxy.core.documents.fieldpaths`; a rule that has
    expired hides nothing.

    ignore: whatever differs at `path` or below. unordered: the arrays at `path` are compared as sets, their
    elements told apart by the member `by`, or as a whole if that is None. tolerance: numbers, also those
    written as text, at most `within` apart. time: times at most `within` seconds apart. equal: all `values`
    mean the same.
    """

    kind: RuleKind
    path: str
    by: str | None = None
    within: Decimal = Decimal(0)
    values: tuple[Json, ...] = ()
    reason: str = ""
    owner: str = ""
    expires: date | None = None

    def __str__(self) -> str:
        """Such as `tolerance total within 0.01 (rounding, by qa, until 2030-01-31)`."""
        detail = {
            "unordered": f" by {self.by}" if self.by else "",
            "tolerance": f" within {self.within}",
            "time": f" within {self.within}s",
            "equal": f" {', '.join(map(text_of, self.values))}",
        }.get(self.kind, "")
        about = [self.reason, f"by {self.owner}" if self.owner else ""]
        about.append(f"until {self.expires}" if self.expires else "")
        notes = ", ".join(filter(None, about))
        return f"{self.kind} {self.path}{detail}" + (f" ({notes})" if notes else "")

    @property
    def pattern(self) -> Pattern:
        return parse_pattern(self.path)

    def expired(self, today: date) -> bool:
        """The last day still counts."""
        return self.expires is not None and self.expires < today


@dataclass(frozen=True)
class Compare:
    """What is compared, and how. `headers` in lower case; `rules`: general ones, then the endpoint's own.

    `sample` is a ratio. `in_flight`, `rate` (per second) and `ttl` hold for all endpoints together. `redact`
    has entries of `proxy.core.privacy.redact`. `read_back` names the endpoint that shows what a write did.
    `parity` is the bound, a ratio, at which the backends are called likely equal.
    """

    sample: float = 0.0
    in_flight: int = 32
    rate: float = 50.0
    ttl: float = 14 * 86_400.0
    redact: tuple[str, ...] = ()
    read_back: str | None = None
    dry_run: bool = False
    max_body: int = 256 * 1024
    headers: tuple[str, ...] = ("content-type", "location", "cache-control", "etag")
    rules: tuple[ComparisonRule, ...] = ()
    parity: float = 0.02


Coding = Literal["zstd", "br", "gzip"]
"""Content-codings by their registered names (RFC 9110 section 8.4.1, RFC 7932, RFC 8878)."""


@dataclass(frozen=True)
class Compression:
    """Codings in order of preference; `types` such as `text/html`, `text/*`, `*+json`."""

    codings: tuple[Coding, ...] = ("zstd", "br", "gzip")
    min_bytes: int = 1024
    types: tuple[str, ...] = (
        "application/json",
        "application/javascript",
        "application/xml",
        "*+json",
        "*+xml",
        "text/*",
    )


@dataclass(frozen=True)
class Advance:
    """What a rollout needs before its next step; None: not asked."""

    failing: float | None = 0.01  # share of the users that may fail on async, at the next weight
    no_worse: float | None = 1.5  # or async's odds of failing are below this many times legacy's
    slower: float | None = 1.2  # odds of an answer above legacy's 95th percentile, as a multiple of legacy's
    parity: float | None = 0.02  # the bound of a comparison that says `likely equal`


@dataclass(frozen=True)
class RolloutPlan:
    """One entry of `rollouts:`. Weights in hundredths of a percent, times in seconds."""

    name: str
    steps: tuple[int, ...]
    dwell: float = 600.0
    advance: Advance = Advance()
    alpha: float = 0.001
    to: Literal["zero", "previous"] = "zero"
    approve: frozenset[int] = frozenset()
    first: tuple[str, ...] = field(default=(), repr=False)  # persons; with `bearer`, their tokens
    retry: Literal["person", "version"] = "person"
    hours: str = ""
    webhook: str = field(default="", repr=False)  # its path is often a secret


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One line of `endpoints:`, with every default resolved. Compared and hashed by identity."""

    index: int  # position in Snapshot.endpoints
    method: str
    template: str  # "/accounts/{account_id}"
    weight: int  # hundredths of a percent, 0-10000
    group: str
    phase: str | None
    safe: bool
    sticky: tuple[KeySource, ...]
    fallback: BackendName | None
    response_timeout: float | None = None  # seconds; None: the backend's own
    idle_timeout: float | None = None  # the same
    idempotency: Mode = "off"
    buffers: Buffers = Buffers()
    breaker: BreakerSettings = BreakerSettings()
    compare: Compare = Compare()
    compression: bool = False
    force: str | None = None
    plan: RolloutPlan | None = None  # its weight is that of a rollout's step
    name: str = field(init=False)
    """As written in routing.yaml, and the `endpoint` label in metrics: "GET /accounts/{account_id}"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.method} {self.template}")


@dataclass(frozen=True)
class Phase:
    name: str
    methods: frozenset[str]
    after: str | None = None
    scope: Literal["all", "group"] = "all"


@dataclass(frozen=True)
class ServerTimeouts:
    header: float = 10.0
    body: float = 30.0
    keep_alive: float = 75.0
    drain: float = 30.0
    worker: float = 15.0
    orphan: float = 0.0  # 0: never


@dataclass(frozen=True)
class Limits:
    header_bytes: int = 32 * 1024
    headers: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 0  # 0: no limit
    connections: int = 0  # per worker; 0: from RLIMIT_NOFILE
    min_rate: int = 0  # bytes per second of a body that a client must send or take; 0: any


ADMIN: Final = "admin"
"""The name of whoever has `server.admin_token`."""

Role = Literal["viewer", "operator"]
"""What a user of the admin port may do: read what needs a token, or change things as well."""


@dataclass(frozen=True)
class AdminUser:
    name: str
    role: Role
    token: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.role})"


@dataclass(frozen=True)
class Server:
    listen: str = "127.0.0.1:8000"
    admin: str = "127.0.0.1:9000"
    admin_token: str = ""
    admin_users: tuple[AdminUser, ...] = ()
    admin_write: bool = False
    workers: int = 0  # 0: number of cores
    runtime_dir: str = ".strangler"
    state: str = "sqlite:///.strangler/state.db"
    trusted_proxies: tuple[str, ...] = ()  # networks in CIDR form
    expose_backend: bool = True
    access_log: str | None = None  # None: off; "-": standard output; else a path
    timeouts: ServerTimeouts = ServerTimeouts()
    limits: Limits = Limits()
    ambiguous_paths: Literal["forward", "reject"] = "forward"
    underscores: Literal["drop", "pass"] = "drop"
    abort_on_eof: Literal["safe"] | bool = "safe"
