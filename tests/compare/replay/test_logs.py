from __future__ import annotations

import json

import pytest

from proxy.compare.replay.logs import logged

NGINX = (
    '10.0.0.7 - ada [28/Nov/2026:13:55:36 +0000] "{}" {} 2326 '
    '"http://h/\\"x" "curl/8.1 \\"GET /no HTTP/1.1\\""'
)
HAPROXY = (
    "Nov 28 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [28/Nov/2026:12:14:14.655] http-in "
    'static/srv1 10/0/30/69/109 {1} 2750 - - ---- 1/1/1/1/0 0/0 {{1wt.eu}} {{}} "{0}"'
)
ENVOY = '[2026-11-28T20:17:00.310Z] "{}" {} - 154 0 226 100 "10.0.35.28" "curl" "cc21d9b0" "api" "tcp://10.0.2.1:80"'
FORMATS = {"nginx": NGINX, "haproxy": HAPROXY, "envoy": ENVOY}


@pytest.mark.parametrize("name", FORMATS)
def test_lines_of_other_proxies_are_read(name: str) -> None:
    line = FORMATS[name].format("GET /a/1?b=%20c HTTP/1.1", 404).encode()
    found = logged(line)
    assert (found.method, found.target, found.status, found.skip) == ("GET", "/a/1?b=%20c", 404, None)
    assert (found.host, found.headers, found.body) == (None, (), b"")


@pytest.mark.parametrize("name", FORMATS)
def test_of_other_logs_only_reads_are_repeated(name: str) -> None:
    for method in ("POST", "DELETE", "PUT"):
        found = logged(FORMATS[name].format(f"{method} /a HTTP/2.0", 201).encode())
        assert (found.method, found.status, found.skip) == (method, 201, "its body is not in the log")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (NGINX.format(r"GET /a?q=\x22\xC3\xA9\x5C HTTP/1.1", 200), '/a?q="\u00c3\u00a9\\'),
        (NGINX.format(r"GET /a?q=\"x\\ HTTP/1.1", 200), '/a?q="x\\'),
        (HAPROXY.format("GET https://api.example/a?b HTTP/2.0", 200), "/a?b"),
        (HAPROXY.format("GET https://api.example?b HTTP/2.0", 200), "/?b"),
        (HAPROXY.format("GET /a#E9 HTTP/1.1", 200), "/a\u00e9"),
        (ENVOY.format("GET /a HTTP/2", 200), "/a"),
        ('x "GET /a" 200', "/a"),
    ],
)
def test_targets_are_as_they_were_on_the_wire(line: str, target: str) -> None:
    found = logged(line.encode())
    assert (found.target, found.status) == (target, 200)


@pytest.mark.parametrize(
    "line",
    [
        NGINX.format(r"\x16\x03\x01\x00", 400),
        NGINX.format("", 400),
        NGINX.format("-", 408),
        HAPROXY.format("<BADREQ>", 400),
        ENVOY.format("- - HTTP/1.1", 400),
        json.dumps({"method": None, "target": None, "status": 400}),
        json.dumps({"request": "", "status": "400"}),
    ],
)
def test_what_never_was_a_request_says_so(line: str) -> None:
    assert logged(line.encode()).skip == "refused before it was a complete request"


@pytest.mark.parametrize(
    "line",
    [
        {"request_method": "GET", "request_uri": "/a?b", "status": "200", "host": "h"},
        {"request": "GET /a?b HTTP/1.1", "status": 200, "remote_addr": "10.0.0.7"},
        {"method": "GET", "path": "/a?b", "response_code": 200, "response_flags": "-"},
        {"method": "GET", "target": "/a?b", "status": 200, "client": "10.0.0.7"},
    ],
)
def test_lines_in_json_are_read_by_the_names_that_are_common(line: object) -> None:
    found = logged(json.dumps(line).encode())
    assert (found.method, found.target, found.status, found.skip) == ("GET", "/a?b", 200, None)


@pytest.mark.parametrize("line", ["hello", "{}", '{"method": "GET"}', '{"request": {"method": 1}}', "[1]"])
def test_what_is_no_line_of_a_log_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):
        logged(line.encode())
