"""Settings, from environment variables only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


class ConfigError(ValueError):
    """An environment variable is missing or has a value that cannot be used."""


@dataclass(frozen=True)
class Config:
    database_url: str  # libpq form, postgresql://...
    pool_size: int = 5  # SQLAlchemy's default, as most such apps leave it; a sync worker uses one at a time
    pool_overflow: int = 10
    pool_timeout: float = 5.0  # seconds to wait for a pooled connection
    connect_timeout: int = 3  # seconds
    statement_timeout: int = 30_000  # milliseconds
    fx_url: str = "http://127.0.0.1:5003"
    fx_timeout: float = 2.0  # seconds
    version: str = "1.0"  # sent as x-version

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Config:
        """Raises ConfigError naming the variable at fault."""
        url = environment.get("DATABASE_URL", "")
        if not url.startswith(("postgresql://", "postgres://")):
            raise ConfigError(f"DATABASE_URL: {url!r} is not of the form postgresql://user@host/database")
        return cls(
            database_url=url,
            pool_size=_integer(environment, "POOL_SIZE", cls.pool_size),
            pool_overflow=_integer(environment, "POOL_OVERFLOW", cls.pool_overflow),
            fx_timeout=_seconds(environment, "FX_TIMEOUT", cls.fx_timeout),
            fx_url=environment.get("FX_URL", cls.fx_url).rstrip("/"),
            version=environment.get("APP_VERSION", cls.version),
        )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    value = environment.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", value) or float(value) == 0:
        raise ConfigError(f"{name}: {value!r} is not a number of seconds over 0")
    return float(value)


def _integer(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal() or not 0 <= int(value) <= 1000:
        raise ConfigError(f"{name}: {value!r} is not a whole number from 0 to 1000")
    return int(value)
