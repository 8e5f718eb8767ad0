from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import ConfigError, ConfigErrors, compile_document, load_file, load_text
from proxy.core.settings import KeySource, Upstream
from tests.config.texts import BACKENDS, error, errors, load

ROOT = Path(__file__).parent.parent.parent

TEN_MISTAKES = """\
server: {worker: 2, listen: somewhere}
backends:
  legacy: {url: "http://127.0.0.1:5001/base"}
  async: {url: "http://127.0.0.1:5002", timeouts: {connect: 5}}
  async: {}
override: {token: "${NOT_SET}"}
compare: {sample: 5}
endpoints:
  GET /accounts/{account_id}: {weight: 150}
  GET /accounts/{id}: {weight: 5}
  POST /payments: {weight: 0, phase: later}
"""


def test_ten_mistakes_give_ten_errors_each_with_its_place() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(TEN_MISTAKES, source="routing.yaml", environ={})
    assert [(each.line, each.column, each.key) for each in caught.value.errors] == [
        (1, 10, "server.worker"),
        (1, 29, "server.listen"),
        (3, 17, "backends.legacy.url"),
        (4, 61, "backends.async.timeouts.connect"),
        (5, 3, "backends.async"),
        (6, 19, "override.token"),
        (7, 19, "compare.sample"),
        (9, 40, 'endpoints."GET /accounts/{account_id}".weight'),
        (10, 3, 'endpoints."GET /accounts/{id}"'),
        (11, 38, 'endpoints."POST /payments".phase'),
    ]


def test_an_error_reads_like_a_compilers() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(f"endpoints:\n  GET /x:\n    weight: 150\n{BACKENDS}", source="routing.yaml", environ={})
    assert str(caught.value) == 'routing.yaml:3:13: endpoints."GET /x".weight: 150 is not between 0 and 100'
    (found,) = caught.value.errors
    assert found.value == "150"


def test_shipped_example_is_valid_and_moves_nothing() -> None:
    loaded = load_file(ROOT / "routing.yaml", environ={})
    assert loaded.snapshot.legacy.upstreams == (Upstream("http://127.0.0.1:5001", "http", "127.0.0.1", 5001),)
    assert loaded.snapshot.async_.upstreams[0].port == 5002
    assert {endpoint.weight for endpoint in loaded.snapshot.endpoints} == {0}
    assert not loaded.violations
    assert not loaded.warnings


def test_only_the_two_urls_are_required() -> None:
    assert [each.key for each in _errors_of("")] == ["backends.legacy.url", "backends.async.url"]
    assert load("").snapshot.endpoints == ()


@pytest.mark.parametrize("section", ["server", "sticky", "phases", "endpoints", "retries", "idempotency"])
def test_section_left_empty_means_its_defaults(section: str) -> None:
    assert load(f"{section}:").snapshot.hash == load("").snapshot.hash


def test_endpoint_takes_over_what_it_does_not_say() -> None:
    text = """
server: {buffers: {request: 1KiB, response: 2KiB}}
breaker: {window: 5s, min_requests: 7}
sticky: {key: cookie:sid}
endpoints:
  GET /a/{id}: {buffers: {response: 3KiB}, breaker: {window: 6s}, timeouts: {response: 9s}}
  POST /b/{id}: {group: a, sticky: [path:id], safe: true, phase: reads, weight: 12.34}
  PUT /{id}:
"""
    first, second, third = load(text).snapshot.endpoints
    assert (first.buffers.request, first.buffers.response) == (1024, 3072)
    assert (first.breaker.window, first.breaker.min_requests, first.response_timeout) == (6.0, 7, 9.0)
    assert (first.group, first.phase, first.safe, first.fallback) == ("a", "reads", True, "legacy")
    assert first.sticky == (KeySource("cookie", "sid"),)
    assert (second.group, second.phase, second.safe, second.fallback) == ("a", "reads", True, "legacy")
    assert (second.sticky, second.weight) == ((KeySource("path", "id"),), 1234)
    assert (third.group, third.phase, third.safe, third.fallback) == ("", "writes", False, None)


def test_document_compiles_to_the_same_snapshot() -> None:
    loaded = load("override: {token: '${T}'}\nserver: {workers: 3}\nendpoints: {GET /a: {weight: 5}}", T="x1")
    again = compile_document(json.loads(json.dumps(loaded.document)))
    assert again.hash == loaded.snapshot.hash
    assert (again.server, again.override_token) == (loaded.snapshot.server, "x1")
    assert [each.weight for each in again.endpoints] == [500]


SAME = [
    ("endpoints: {GET /a: {weight: 5}}", "# a comment\nendpoints:\n  GET /a:\n    weight: 5.0\n"),
    ("endpoints: {GET /a: {}, GET /b: {}}", "endpoints: {GET /b: , GET /a: {weight: 0}}"),
    ("server: {timeouts: {drain: 30s}}", "server: {timeouts: {drain: 30000ms}}"),
    ("unlisted: '404'", "unlisted: 404"),
]
OTHER = [
    ("endpoints: {GET /a: {weight: 5}}", "endpoints: {GET /a: {weight: 6}}"),
    ("override: {token: a}", "override: {token: b}"),
    ("server: {admin_token: a}", "server: {admin_token: b}"),
    ("sticky: {salt: a}", "sticky: {salt: b}"),
    ("sticky: {key: [bearer, client-ip]}", "sticky: {key: [client-ip, bearer]}"),
    ("phases: {a: {methods: [GET]}, b: {}}", "phases: {b: {}, a: {methods: [GET]}}"),
    # with other general settings, giving the defaults is not giving nothing
    (
        "breaker: {window: 1s}\nendpoints: {GET /a: {}}",
        "breaker: {window: 1s}\nendpoints: {GET /a: {breaker: "
        "{window: 10s, min_requests: 20, failure_ratio: 0.5, open_for: 10s}}}",
    ),
    (
        "server: {buffers: {request: 1KiB}}\nendpoints: {GET /a: {}}",
        "server: {buffers: {request: 1KiB}}\nendpoints: {GET /a: {buffers: {request: 64KiB}}}",
    ),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_equal_meaning_gives_an_equal_hash(left: str, right: str) -> None:
    assert load(left).snapshot.hash == load(right).snapshot.hash


@pytest.mark.parametrize(("left", "right"), OTHER)
def test_other_meaning_gives_another_hash(left: str, right: str) -> None:
    assert load(left).snapshot.hash != load(right).snapshot.hash


def test_hash_is_16_hex_digits_and_the_same_in_another_process() -> None:
    script = "from proxy.config import load_file; print(load_file('routing.yaml', environ={}).snapshot.hash)"
    environ = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    found = load_file(ROOT / "routing.yaml", environ={}).snapshot.hash
    assert done.stdout.strip() == found
    assert len(found) == 16
    assert int(found, 16) >= 0


def test_phase_violation_is_not_an_error_of_the_file() -> None:
    loaded = load("endpoints: {GET /a: {weight: 50}, POST /a: {weight: 1}}")
    assert [each.endpoint.name for each in loaded.violations] == ["POST /a"]


def test_forced_violation_is_a_warning_with_its_reason() -> None:
    loaded = load("endpoints: {GET /a: {weight: 50}, POST /a: {weight: 1, force: 'QA said so'}}")
    assert loaded.violations == ()
    (warning,) = loaded.warnings
    assert warning.startswith("POST /a: weight 1")
    assert "QA said so" in warning


def test_secrets_are_never_in_errors() -> None:
    text = """
server: {admin_token: "hunter2 hunter2", state: "mysql://user:hunter2@db/x", worker: 1}
override: {token: "hunter2 x"}
"""
    found = errors(text)
    assert [each.key for each in found] == [
        "server.admin_token",
        "server.state",
        "server.worker",
        "override.token",
    ]
    assert not any("hunter2" in part for each in found for part in (each.value, each.message))
    backend = _errors_of("backends: {legacy: {url: 'http://user:hunter2@db'}, async: {url: 'http://b'}}")
    assert [each.key for each in backend] == ["backends.legacy.url"]
    assert "hunter2" not in f"{backend[0].value} {backend[0].message}"


def test_values_from_the_environment_are_shown_by_name_only() -> None:
    found = error("server: {listen: '${PLACE}'}", PLACE="secret place")
    assert found.value == "${PLACE}"
    assert "secret" not in found.message


def test_file_that_is_missing_or_no_text_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_file(tmp_path / "missing.yaml")
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_file(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigErrors) as caught:
        load_file(path)
    (found,) = caught.value.errors
    assert (found.line, found.column) == (2, 7)
    assert "0xE9" in found.message


def test_file_that_is_too_large_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse
    with pytest.raises(ConfigErrors, match="larger than 16777216 bytes"):
        load_file(path)


def test_errors_come_in_the_order_of_the_file_and_are_bounded() -> None:
    found = errors("endpoints:\n" + "".join(f"  GET /e{n}: {{wieght: 1}}\n" for n in range(1100)))
    assert len(found) == 1000
    assert [each.line for each in found] == list(range(2, 1002))


@pytest.mark.parametrize("secret", ["12345678", "0123", "true", "null", "~", "1.50", "-5"])
def test_a_variable_is_text_where_text_is_wanted(secret: str) -> None:
    text = "server:\n  admin_token: ${X}\noverride: {token: '${X}'}\nendpoints:\n  GET /a:\n    group: ${X}"
    loaded = load(text, X=secret)
    assert loaded.snapshot.server.admin_token == secret
    assert loaded.snapshot.override_token == secret
    assert loaded.snapshot.endpoints[0].group == secret
    assert compile_document(loaded.document).hash == loaded.snapshot.hash


def test_a_variable_is_a_number_or_a_flag_where_that_is_wanted() -> None:
    text = (
        "server:\n  workers: ${N}\n  admin_write: ${F}\n  limits:\n    body_bytes: ${N}\n"
        "endpoints:\n  GET /a:\n    weight: ${N}"
    )
    loaded = load(text, N="5", F="true")
    assert (loaded.snapshot.server.workers, loaded.snapshot.server.admin_write) == (5, True)
    assert (loaded.snapshot.server.limits.body_bytes, loaded.snapshot.endpoints[0].weight) == (5, 500)
    assert compile_document(loaded.document).hash == loaded.snapshot.hash


def test_a_variable_that_is_neither_is_refused_where_it_stands() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load("server:\n  workers: ${N}\n  admin_write: ${N}\n  admin_token: ${N}", N="-5")
    assert [each.key for each in caught.value.errors] == ["server.workers", "server.admin_write"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="{}[]:,&*!|>'\"%@`-? \n\tab<#$\\0", max_size=80))
def test_any_text_is_accepted_or_gives_errors(text: str) -> None:
    assert _verdict(text) in ("accepted", "refused")


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["10s", "1KiB", "auto", "off", "${X}", "http://a"])
)
SECTIONS = ("server", "backends", "endpoints", "phases", "sticky", "compare", "retries", "override")
INNER = (
    "legacy",
    "async",
    "url",
    "urls",
    "weight",
    "after",
    "methods",
    "key",
    "timeouts",
    "limits",
    "buffers",
)
KEYS = st.sampled_from(
    ("GET /a", "GET /{x}", "POST /b/{r...}", "dry_run", "header", *SECTIONS, *INNER)
) | st.text(max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
        max_leaves=25,
    )
)
def test_any_structure_is_accepted_or_gives_errors_with_places(value: object) -> None:
    text = yaml.safe_dump(value, sort_keys=False)
    assert _verdict(text) in ("accepted", "refused")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_in_a_file_are_accepted_or_give_errors(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "routing.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigErrors):
        load_file(path, environ={})


def _verdict(text: str) -> str:
    """Anything but ConfigErrors, or an error without a place or a reason, fails the test."""
    try:
        load_text(text, source="x", environ={"X": "1"})
    except ConfigErrors as found:
        complete = [each.line > 0 and each.column > 0 and each.message for each in found.errors]
        return "refused" if complete and all(complete) else str(found)
    return "accepted"


def _errors_of(text: str) -> list[ConfigError]:
    with pytest.raises(ConfigErrors) as caught:
        load_text(text, source="x", environ={})
    return list(caught.value.errors)
