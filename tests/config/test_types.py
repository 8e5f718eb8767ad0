"""Every kind of value: what it accepts, and that what it refuses is named with what is allowed."""

from __future__ import annotations

import pytest

from proxy.config.checks import checks
from proxy.config.model import Config
from tests.config.texts import error, load

REFUSED = [
    # weights
    ("endpoints: {GET /a: {weight: 150}}", "150 is not between 0 and 100"),
    ("endpoints: {GET /a: {weight: -0.01}}", "-0.01 is not between 0 and 100"),
    ("endpoints: {GET /a: {weight: 1.005}}", "1.005 has more than two decimal places"),
    ("endpoints: {GET /a: {weight: '25'}}", "25 is not a number from 0 to 100"),
    ("endpoints: {GET /a: {weight: true}}", "true is not a number from 0 to 100"),
    ("endpoints: {GET /a: {weight: .nan}}", ".nan is not a number from 0 to 100"),
    ("endpoints: {GET /a: {weight: }}", "nothing is not a number from 0 to 100"),
    ("endpoints: {GET /a: {weight: [1]}}", "a list is not a number from 0 to 100"),
    # durations, sizes, shares, numbers
    ("server: {timeouts: {drain: 30}}", "30 is not a duration such as 250ms, 10s, 5m or 24h"),
    ("server: {timeouts: {drain: 30 s}}", "30 s is not a duration"),
    ("server: {timeouts: {drain: 0s}}", "0s is not a duration from 1ms"),
    ("server: {timeouts: {drain: 9999h}}", "9999h is not a duration from 1ms to 8784h"),
    ("server: {timeouts: {drain: ٣s}}", "٣s is not a duration"),
    ("server: {limits: {body_bytes: ٣KiB}}", "٣KiB is not a size"),
    ("retries: {budget: ٣%}", "٣% is not a percentage"),
    ("server: {limits: {body_bytes: 64kb}}", "64kb is not a size such as 0, 64KiB or 1MiB"),
    ("server: {limits: {body_bytes: -1}}", "-1 is not a size"),
    ("server: {limits: {header_bytes: 10}}", "10 is not a size from 1024B to"),
    ("retries: {budget: 20}", "20 is not a percentage from 0% to 100%"),
    ("retries: {budget: 120%}", "120% is not a percentage"),
    ("retries: {min_per_second: -1}", "-1 is not a number from 0"),
    ("breaker: {failure_ratio: 0}", "0 is not a number above 0 and at most 1"),
    ("breaker: {min_requests: 1.5}", "1.5 is not a whole number from 1"),
    ("server: {workers: 0}", "0 is not a whole number from 1 to 1024 or auto"),
    ("server: {workers: true}", "true is not a whole number"),
    # words
    ("unlisted: reject", "reject is not legacy or async or 404"),
    ("server: {expose_backend: yes}", "yes is not true or false"),
    ("server: {ambiguous_paths: drop}", "drop is not forward or reject"),
    ("server: {underscores: keep}", "keep is not drop or pass"),
    ("server: {abort_on_eof: never}", "never is not safe, true or false"),
    ("server: {abort_on_eof: 1}", "1 is not safe, true or false"),
    ("sticky: {unkeyed: async}", "async is not random or legacy"),
    ("endpoints: {GET /a: {fallback: async}}", "async is not legacy or none"),
    ("phases: {a: {methods: [get]}}", "get is not a method in capitals"),
    ("phases: {a: {methods: GET}}", "GET is not a list"),
    # addresses
    ("server: {listen: 8000}", "8000 is not host:port"),
    ("server: {listen: ':8000'}", ":8000 is not host:port"),
    ("server: {listen: '::1:8000'}", "::1:8000 is not host:port"),
    ("server: {listen: 'localhost:70000'}", "localhost:70000 has no port from 0 to 65535"),
    ("server: {listen: '300.0.0.1:80'}", "300.0.0.1:80 is not host:port"),
    ("server: {trusted_proxies: [10.0.0.1/8]}", "10.0.0.1/8 is not a network such as 10.0.0.0/8"),
    ("server: {trusted_proxies: [nginx]}", "nginx is not a network"),
    ("server: {state: 'mysql://x'}", "*** is not sqlite:///path or postgresql://"),
    # keys
    ("sticky: {key: [x-user-id]}", "x-user-id is not header:NAME, bearer, cookie:NAME"),
    ("sticky: {key: ['header:']}", "header: is not header:NAME"),
    ("sticky: {key: x-user-id}", "x-user-id is not header:NAME, bearer, cookie:NAME"),
    ("sticky: {key: ['header:a b']}", "header:a b is not a valid header name"),
    ("sticky: {salt: " + "x" * 65 + "}", "is longer than 64 bytes"),
    ("idempotency: {principal: bearer}", "bearer is not credential, jwt:CLAIM, header:NAME or cookie:NAME"),
    ("idempotency: {principal: 'cookie:'}", "cookie: is not credential"),
    ("idempotency: {principal: 'header:a b'}", "header:a b is not credential"),
    ("idempotency: {principal: client-ip}", "client-ip cannot identify a caller: an address may change"),
    ("idempotency: {principal: [credential, client-ip]}", "client-ip cannot identify a caller"),
    ("idempotency: {principal: path:id}", "path:id cannot identify a caller: it identifies what"),
    ("idempotency: {principal: []}", "is empty: name at least one source, such as credential"),
    ("idempotency: {statuses: {missing: 500}}", "500 is not a whole number from 400 to 499"),
    ("idempotency: {header: 'a b'}", "a b is not a name"),
    # structure
    ("endpoints: [GET /a]", "a list is not a mapping of keys to values"),
    ("server: 5", "5 is not a mapping of keys to values"),
    ("endpoints: {GET /a: 25}", "25 is not a mapping of keys to values"),
    ("sever: {}", "unknown key, did you mean server?"),
    ("compare: {smaple: 0%}", "unknown key, did you mean sample?"),
    ("endpoints: {GET /a: {qqq: 1}}", "unknown key, allowed: breaker, buffers, compare,"),
    ("retries: {budget: 20%, x: {y: 1}}", "unknown key, allowed: backoff, budget,"),
    # endpoints
    ("endpoints: {/a: {}}", "is not 'METHOD /path'"),
    ("endpoints: {get /a: {}}", "does not begin with a method in capitals"),
    ("endpoints: {GETT /a: {}}", "does not begin with a method in capitals"),
    ("endpoints: {GET a: {}}", "is not 'METHOD /path'"),
    ("endpoints: {GET  /a: {}}", "is not 'METHOD /path'"),
    ("endpoints: {GET /a?b: {}}", "has a query or fragment"),
    ("endpoints: {'GET /a/{x': {}}", "a parameter is a whole segment"),
    ("endpoints: {'GET /a/v{x}': {}}", "a parameter is a whole segment"),
    ("endpoints: {'GET /a/{x y}': {}}", "a parameter is a whole segment"),
    ("endpoints: {'GET /{x...}/b': {}}", "before the end of the path"),
    ("endpoints: {'GET /{x}/{x}': {}}", "names a parameter twice"),
    ("endpoints: {GET /a//b: {}}", "ambiguous or not legal"),
    ("endpoints: {GET /a/../b: {}}", "ambiguous or not legal"),
    ("endpoints: {GET /a%2Fb: {}}", "ambiguous or not legal"),
    ("endpoints: {GET /é: {}}", "ambiguous or not legal"),
    ("endpoints: {GET /%61: {}}", "needless percent-escapes"),
    ("endpoints: {GET " + "/a" * 33 + ": {}}", "more than 32 segments"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:60] for text, _ in REFUSED])
def test_refused_with_the_value_and_what_is_allowed(text: str, message: str) -> None:
    found = error(text)
    assert message in found.message
    assert found.line == 1
    assert found.key


ACCEPTED = [
    "server: {listen: '[::1]:0', admin: 'localhost:9001'}",
    "server: {admin: 0.0.0.0:9000, admin_token: abc}",
    "server: {workers: auto, limits: {connections: auto, body_bytes: 0, header_bytes: 16KiB}}",
    "server: {trusted_proxies: [10.0.0.0/8, 192.0.2.1, '2001:db8::/32'], access_log: off}",
    "server: {state: 'postgresql://u:p@db/strangler'}",
    "sticky: {key: bearer}",
    "sticky: {key: [header:X-User-Id, cookie:sid, path:id, jwt:sub, client-ip]}",
    "unlisted: 404",
    "unlisted: async",
    "idempotency: {principal: 'jwt:sub', ttl: 48h, statuses: {missing: 428}}",
    "idempotency: {principal: [cookie:sid, header:X-User, 'jwt:sub', credential]}",
    "compare: {sample: 0%, max_body: 1MiB}",
    "phases: {}",
    "phases: {one: {methods: [GET]}, two: {after: one, scope: group}}",
    "endpoints: {GET /: {}, 'GET /{rest...}': {}, 'GET /{x}': {}, POST /: , 'DELETE /a.b/c-d_e~f': {}}",
    "endpoints: {GET /a%20b: {}, GET /.well-known/x: {}, PROPFIND /dav: {}}",
    "endpoints: {GET /a: {idempotency: off, compression: off, fallback: none, safe: false, phase: writes}}",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str) -> None:
    assert len(load(text).snapshot.hash) == 16


def test_header_names_of_sticky_keys_are_lower_case() -> None:
    assert str(load("sticky: {key: header:X-User-Id}").snapshot.sticky[0]) == "header:x-user-id"


def test_defaults_of_the_model_pass_its_own_checks() -> None:
    assert [path for path, _ in checks(Config())] == [
        ("backends", "legacy", "url"),
        ("backends", "async", "url"),
    ]
