from __future__ import annotations

import pytest

from proxy.config.urls import is_loopback, parse_listen, parse_state, parse_webhook, upstream
from proxy.core.settings import Upstream


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.1:5001", Upstream("http://10.0.0.1:5001", "http", "10.0.0.1", 5001)),
        ("http://legacy/", Upstream("http://legacy:80", "http", "legacy", 80)),
        ("https://API.example", Upstream("https://api.example:443", "https", "api.example", 443)),
        ("http://[::1]:80", Upstream("http://[::1]:80", "http", "::1", 80)),
        (
            "http://payments_legacy:5001",
            Upstream("http://payments_legacy:5001", "http", "payments_legacy", 5001),
        ),
        ("unix:/run/a.sock", Upstream("unix:/run/a.sock", "unix", path="/run/a.sock")),
        ("unix:///run/a.sock", Upstream("unix:/run/a.sock", "unix", path="/run/a.sock")),
    ],
)
def test_address_is_taken_apart(url: str, expected: Upstream) -> None:
    assert upstream(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://a/base", "has a path"),
        ("http://a?x", "has a query"),
        ("http://a#x", "has a query or fragment"),
        ("http://u:p@a", "contains credentials"),
        ("http://u@a", "contains credentials"),
        ("ftp://a", "is not http"),
        ("a:80", "is not http"),
        ("//a", "is not http"),
        ("", "is not http"),
        ("http://", "is not http"),
        ("http://:80", "is not http"),
        ("http://a:", "is not http"),
        ("http://a:0", "is not http"),
        ("http://a:99999", "port is from 1 to 65535"),
        ("http://a:x", "port is from 1 to 65535"),
        ("http://a b", "is not http"),
        ("http://a\r\nx", "is not http"),
        ("http://1.2.3", "is not http"),
        ("http://256.1.1.1", "is not http"),
        ("http://[::1", "is not http"),
        ("http://-a", "is not http"),
        ("unix:run/a.sock", "absolute path"),
        ("unix:/" + "x" * 107, "longer than the 107 bytes"),
    ],
)
def test_address_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        upstream(url)


@pytest.mark.parametrize("value", [None, 5, True, ["http://a"]])
def test_what_is_not_text_is_no_address(value: object) -> None:
    with pytest.raises(ValueError, match="is not http"):
        upstream(value)


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("a.example:1", False),
    ],
)
def test_loopback_is_recognised(listen: str, loopback: bool) -> None:
    assert is_loopback(parse_listen(listen)) is loopback


@pytest.mark.parametrize(
    "value",
    [
        "sqlite:///state.db",
        "postgresql://u:p%40ss@db:5432/strangler",
        "postgres://db/strangler?sslmode=require",
        "postgresql://postgres@/strangler?host=/run/postgresql",
    ],
)
def test_a_state_database_is_taken_as_it_is(value: str) -> None:
    assert parse_state(value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("mysql://x", "is not sqlite"),
        ("postgresql://u:secret@db:port/x", "is not postgresql://user:password@host:port/database"),
        ("postgresql://u:secret@db:99999/x", "port from 1 to 65535"),
        ("postgresql://u:secret@b@d/x", "with @ as %40"),
        ("postgresql:///x", "is not postgresql://user"),
        ("postgresql://u:secret@d b/x", "is not postgresql://user"),
        ("postgresql://u:secret@db/x?sslmode=yes", "other than disable, allow, prefer, require"),
        ("postgresql://u:secret@db/x?application_name=a", "application_name; only host and sslmode"),
    ],
)
def test_a_state_database_that_cannot_be_asked_is_refused(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_state(value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:9999",
        "https://hooks.example.org/services/T0/B0/x?y=z",
        "https://user:password@example.org/x",
        "HTTPS://[::1]:8443/x",
    ],
)
def test_webhook_stays_as_written(url: str) -> None:
    assert parse_webhook(url) == url


@pytest.mark.parametrize(
    "url",
    ["example.org", "ftp://example.org", "https://", "http://:80", "http://h:0", "http://a b", "unix:/x", 5],
)
def test_webhook_that_cannot_be_posted_to_is_refused(url: object) -> None:
    with pytest.raises(ValueError, match="is not a URL such as https://hooks"):
        parse_webhook(url)
