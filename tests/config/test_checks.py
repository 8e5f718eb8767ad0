from __future__ import annotations

import pytest

from proxy.config import ConfigErrors, load_text
from tests.config.texts import error, errors, load

RULES = [
    ("server: {admin: '0.0.0.0:9000'}", "server.admin", "so server.admin_token is required"),
    ("server: {admin: 'example.org:9000'}", "server.admin", "so server.admin_token is required"),
    ("server: {admin_users: [{token: a}]}", "server.admin_users[0].name", "is required"),
    ("server: {admin_users: [{name: ada}]}", "server.admin_users[0].token", "is required"),
    ("server: {admin_users: [{name: ada, token: ''}]}", "server.admin_users[0].token", "is required"),
    (
        "server: {admin_users: [{name: ada, token: a}, {name: ADA, token: b}]}",
        "server.admin_users[1].name",
        "is the name of another user",
    ),
    (
        "server: {admin_token: a, admin_users: [{name: Admin, token: b}]}",
        "server.admin_users[0].name",
        "admin, which is the name of server.admin_token",
    ),
    (
        "server: {admin_users: [{name: ada, token: a}, {name: bob, token: a}]}",
        "server.admin_users[1].token",
        "is also the token of another user",
    ),
    (
        "server: {admin_token: a, admin_users: [{name: ada, token: a}]}",
        "server.admin_users[0].token",
        "is also the token of another user",
    ),
    ("server: {listen: '127.0.0.1:9000'}", "server.admin", "is also server.listen"),
    (
        "server: {limits: {target_bytes: 33KiB}}",
        "server.limits.target_bytes",
        "is larger than server.limits.header_bytes",
    ),
    ("sticky: {key: []}", "sticky.key", "is empty"),
    ("retries: {backoff: 1s}", "retries.max_backoff", "is shorter than retries.backoff"),
    ("phases: {a: {after: b}, b: {}}", "phases.a.after", "b is not a phase listed before this one"),
    ("phases: {a: {}, b: {after: b}}", "phases.b.after", "b is not a phase listed before this one (a)"),
    (
        "endpoints: {GET /a: {phase: later}}",
        'endpoints."GET /a".phase',
        "later is not a phase (reads, writes)",
    ),
    ("endpoints: {GET /a: {force: ' '}}", 'endpoints."GET /a".force', "give the reason"),
    (
        "endpoints: {'GET /a/{x}': {sticky: [path:y]}}",
        'endpoints."GET /a/{x}".sticky[0]',
        "is not a parameter of",
    ),
    ("endpoints: {GET /a: {sticky: []}}", 'endpoints."GET /a".sticky', "is empty"),
    ("endpoints: {'GET /{x}': {}, 'GET /{y}': {}}", 'endpoints."GET /{y}"', 'same requests as "GET /{x}"'),
    ("endpoints: {'GET /{x...}': {}, 'GET /{y...}': {}}", 'endpoints."GET /{y...}"', "same requests as"),
]


@pytest.mark.parametrize(("text", "key", "message"), RULES, ids=[text[:60] for text, _, _ in RULES])
def test_rule_between_keys(text: str, key: str, message: str) -> None:
    found = error(text)
    assert found.key == key
    assert message in found.message


@pytest.mark.parametrize("admin", ["127.0.0.2:1", "[::1]:1", "localhost:1"])
def test_loopback_admin_needs_no_token(admin: str) -> None:
    assert errors(f"server: {{admin: '{admin}'}}") == []


@pytest.mark.parametrize(
    "limits", ["target_bytes: 32KiB", "header_bytes: 4KiB", "header_bytes: 64KiB, target_bytes: 33KiB"]
)
def test_a_target_may_be_as_large_as_a_head_whose_limit_alone_may_be_lower(limits: str) -> None:
    assert errors(f"server: {{limits: {{{limits}}}}}") == []


def test_path_key_of_all_endpoints_need_not_be_in_each() -> None:
    loaded = load("sticky: {key: [path:x, bearer]}\nendpoints: {GET /a: {}, 'GET /a/{x}': {}}")
    assert [len(each.keys) for each in loaded.snapshot.assignments] == [1, 2]


def test_rules_are_checked_beside_other_errors() -> None:
    found = errors(
        "server: {workers: many, admin: '0.0.0.0:1'}\nendpoints: {GET /a: {phase: x, weight: 500}}"
    )
    assert [each.key.rpartition(".")[2] for each in found] == ["workers", "admin", "phase", "weight"]


@pytest.mark.parametrize(
    ("backends", "key", "message"),
    [
        (
            "legacy: {url: 'http://a', urls: ['http://b']}, async: {url: 'http://b'}",
            "backends.legacy.urls",
            "cannot be combined with url",
        ),
        ("legacy: {urls: []}, async: {url: 'http://b'}", "backends.legacy.url", "is required"),
        (
            "legacy: {urls: ['http://a', 'http://a:80/']}, async: {url: 'http://b'}",
            "backends.legacy.urls",
            "twice",
        ),
        ("legacy: {url: 'http://a'}, async: ~", "backends.async.url", "is required"),
        ("legacy: {url: 'http://a'}", "backends.async.url", "is required"),
    ],
)
def test_backend_needs_its_addresses_once(backends: str, key: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(f"backends: {{{backends}}}", source="x", environ={})
    (found,) = caught.value.errors
    assert found.key == key
    assert message in found.message


def test_a_users_duplicate_is_found_at_its_line_and_column_and_no_token_is_shown() -> None:
    text = """\
server:
  admin_users:
    - {name: ada, token: hunter2}
    - {name: ada, token: hunter2, role: boss}
"""
    found = {each.key: each for each in errors(text)}
    assert set(found) == {f"server.admin_users[1].{key}" for key in ("name", "token", "role")}
    name, token = found["server.admin_users[1].name"], found["server.admin_users[1].token"]
    assert (name.line, name.column, token.line, token.column) == (4, 14, 4, 26)
    assert not any("hunter2" in str(each) + each.value for each in found.values())


@pytest.mark.parametrize("name", ["a (b)", "' a'", "a" * 65, "''", '"a\\nb"', "[a]"])
def test_a_users_name_is_text_for_a_log_line(name: str) -> None:
    assert "server.admin_users[0].name" in {
        each.key for each in errors(f"server: {{admin_users: [{{name: {name}, token: x}}]}}")
    }


def test_users_do_in_place_of_the_token_on_an_address_that_others_reach() -> None:
    load("server: {admin: '0.0.0.0:9000', admin_users: [{name: ada, token: x}]}")


def test_a_user_is_a_viewer_unless_said_otherwise() -> None:
    text = "server: {admin_users: [{name: Ada Lovelace, token: x}, {name: b, token: y, role: operator}]}"
    users = load(text).snapshot.server.admin_users
    assert [(user.name, user.role, user.token) for user in users] == [
        ("Ada Lovelace", "viewer", "x"),
        ("b", "operator", "y"),
    ]
