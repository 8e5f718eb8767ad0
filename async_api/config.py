"""Settings, from environment variables only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Raises pydantic.ValidationError naming every variable at fault."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 5002
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: str = "warning"
    keep_alive: Annotated[int, Field(ge=1)] = 5  # seconds an idle connection is kept
    drain: Annotated[int, Field(ge=1)] = 30  # seconds that requests may take to finish after SIGTERM

    database_url: Annotated[str, StringConstraints(pattern=r"^postgres(ql)?://")]
    pool_min: Annotated[int, Field(ge=0)] = 1
    pool_max: Annotated[int, Field(ge=1)] = 10
    pool_wait: Annotated[float, Field(gt=0)] = 2.0  # seconds a request waits for a connection, then 503
    connect_timeout: Annotated[float, Field(gt=0)] = 3.0
    command_timeout: Annotated[float, Field(gt=0)] = 30.0
    statement_cache_size: Annotated[int, Field(ge=0)] = 100  # 0 behind PgBouncer in transaction mode

    retry_attempts: Annotated[int, Field(ge=1)] = 6  # of a whole transaction
    retry_base: Annotated[float, Field(gt=0)] = 0.01  # seconds; doubles up to retry_cap, with full jitter
    retry_cap: Annotated[float, Field(gt=0)] = 0.5
    settle_timeout: Annotated[float, Field(gt=0)] = (
        5.0  # seconds to find out whether a lost COMMIT took place
    )

    fx_url: str = "http://127.0.0.1:5003"
    fx_timeout: Annotated[float, Field(gt=0)] = 1.0
    fx_attempts: Annotated[int, Field(ge=1)] = 3
    fx_backoff: Annotated[float, Field(gt=0)] = 0.05

    redis_url: Annotated[str, StringConstraints(pattern=r"^((rediss?|unix)://.*)?$")] = ""  # empty: no cache
    cache_prefix: str = "payments"  # of every name in Redis, for databases that share one
    cache_timeout: Annotated[float, Field(gt=0, le=1)] = (
        0.02  # seconds for a call to Redis, connecting included
    )
    cache_key_ttl: Annotated[float, Field(gt=0, le=300)] = (
        30.0  # seconds that a revoked API key may still work
    )
    cache_settled_ttl: Annotated[float, Field(gt=0)] = 3600.0  # payments that cannot change any more
    cache_fx_ttl: Annotated[float, Field(gt=0)] = 10.0  # never more than half of a rate's own validity
    cache_owned: bool = False  # balances and lists too; needs proof that this service is the only writer
    cache_owned_ttl: Annotated[float, Field(gt=0, le=60)] = 2.0  # the most that those may ever lag behind
    proxy_admin_url: Annotated[str, StringConstraints(pattern=r"^(https?://.*)?$")] = (
        ""  # its ledger is the proof
    )

    collapse: bool = True  # identical concurrent reads share one query
    collapse_wait: Annotated[float, Field(gt=0)] = 0.25  # seconds that a read waits for the one ahead

    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0  # 0: no metrics are served

    app_version: str = "2.0"  # sent as x-version
    async_fault: Literal["", "quote-rounding", "metering", "quote-rounding,metering"] = (
        ""  # planted faults, for comparisons and rollouts to find: see fx.Rates and middleware.Metering
    )
