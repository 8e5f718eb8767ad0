"""Addresses in routing.yaml: of backends, of the proxy's own ports, of the state database."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from proxy.core.settings import Upstream

_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9_\-]{1,63}(?:\.[A-Za-z0-9_\-]{1,63})*\.?").fullmatch
_POSTGRESQL = "postgresql://user:password@host:port/database (with @ as %40 and / as %2F in the password)"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MAX_WEBHOOK = 2048
_ALLOWED = "is not http://host:port, https://host:port or unix:/path"


def parse_url(value: Any) -> str:
    """A backend's address in one spelling. Raises ValueError."""
    return upstream(value).url


def upstream(value: Any) -> Upstream:
    """Takes an address apart. Raises ValueError with a phrase that says why it is refused."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(_ALLOWED)
    if value.startswith("unix:"):
        return _unix(value)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"{_ALLOWED}; the port is from 1 to 65535") from None
    scheme, host = parts.scheme, parts.hostname
    if scheme not in ("http", "https") or not host:
        raise ValueError(_ALLOWED)
    if "@" in parts.netloc:
        raise ValueError("contains credentials; remove them: backends receive the client's own Authorization")
    if parts.path not in ("", "/"):
        raise ValueError(
            "has a path; remove it: targets are forwarded unchanged, so a backend has no base path"
        )
    if "?" in value or "#" in value:
        raise ValueError("has a query or fragment; remove it: targets are forwarded unchanged")
    if not is_host(host) or port == 0 or parts.netloc.endswith(":"):
        raise ValueError(_ALLOWED)
    number = port if port is not None else (443 if scheme == "https" else 80)
    shown = f"[{host}]" if ":" in host else host
    return Upstream(f"{scheme}://{shown}:{number}", "https" if scheme == "https" else "http", host, number)


def parse_webhook(value: Any) -> str:
    """Where to POST to, or "". Raises ValueError."""
    allowed = "is not a URL such as https://hooks.example.org/rollouts"
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(allowed)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(allowed) from None
    if value and parts.scheme not in ("http", "https"):
        raise ValueError(f"{allowed}: it begins with http:// or https://")
    if value and (not parts.hostname or not is_host(parts.hostname) or port == 0):
        raise ValueError(f"{allowed}: it has no host, or none that can be")
    if "#" in value or len(value) > MAX_WEBHOOK:
        raise ValueError(
            f"has a fragment (#...), or more than {MAX_WEBHOOK} characters: remove what is too much"
        )
    return value


def is_host(host: str) -> bool:
    """A host name or an IP address without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # What looks like an IPv4 address but is none is a typo, not a name.
        return bool(_HOSTNAME(host)) and len(host) <= 253 and not host.replace(".", "").isdigit()
    return True


def parse_listen(value: Any) -> str:
    """An address of ours, "host:port"; port 0 lets the system choose. Raises ValueError."""
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not is_host(bare) or (":" in bare and bare == host):
        raise ValueError("is not host:port, such as 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("has no port from 0 to 65535")
    return f"{host}:{int(port)}"


def is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_state(value: Any) -> str:
    """The state database. Raises ValueError."""
    if isinstance(value, str) and value.isprintable():
        if value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
            return value
        if value.startswith(("postgresql://", "postgres://")):
            _check_postgresql(value)
            return value
    raise ValueError("is not sqlite:///path or postgresql://...")


def _check_postgresql(value: str) -> None:
    """Raises ValueError, with a phrase that shows nothing of the password."""
    from sqlalchemy.engine import make_url  # a quarter of a worker's start: only who has such a URL needs it
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(f"is not {_POSTGRESQL}") from None
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError("has no port from 1 to 65535")
    if (url.host and not is_host(url.host)) or not (url.host or "host" in url.query):
        raise ValueError(f"is not {_POSTGRESQL}")
    if unknown := sorted(set(url.query) - {"host", "sslmode"}):
        raise ValueError(f"has the parameter {', '.join(unknown)}; only host and sslmode are allowed")
    if "sslmode" in url.query and url.query["sslmode"] not in _SSL_MODES:
        raise ValueError(f"has an sslmode other than {', '.join(_SSL_MODES)}")


def _unix(value: str) -> Upstream:
    path = value[len("unix:") :].removeprefix("//")
    if not path.startswith("/"):
        raise ValueError("is not unix:/path with an absolute path")
    if len(path) > 107:  # sun_path, unix(7)
        raise ValueError("is longer than the 107 bytes that a socket's path may have")
    return Upstream(f"unix:{path}", "unix", path=path)
