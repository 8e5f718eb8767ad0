"""What browsers and debugging proxies export is sent as it was recorded, or not at all."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.compare.replay.recorded import BadInput, Recorded
from proxy.compare.replay.recording import format_of, requests, survey

URL = "https://api.example/a"
NOT_WHOLE = "its body is not in the file as it was sent"
FORM = "application/x-www-form-urlencoded"


def fields(**named: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in named.items()]


def entry(method: str = "GET", url: str = URL, **request: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, "headers": []} | request, "response": {"status": 200}}


def post(data: Any, **named: str) -> dict[str, Any]:
    return entry("POST", headers=fields(**named), postData=data)


def read(tmp_path: Path, *entries: Any, **how: Any) -> list[Recorded]:
    path = tmp_path / "session.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}, **how))
    return list(requests(path, format_of(path)))


def one(tmp_path: Path, of: Any, **how: Any) -> Recorded:
    (found,) = read(tmp_path, of, **how)
    return found


def errors(tmp_path: Path, *entries: Any) -> list[str]:
    read(tmp_path, entry(), *entries)
    return [each.rpartition(": ")[2] for each in survey(tmp_path / "session.har").bad]


# heads


def test_repeated_fields_stay_and_cookies_of_http_2_become_one(tmp_path: Path) -> None:
    names = [":method", ":authority", "Accept", "cookie", "x-a", "Cookie", "x-a", "cookie"]
    headers = [{"name": name, "value": str(n)} for n, name in enumerate(names)]
    found = one(tmp_path, entry(headers=headers))
    assert found.headers == (("accept", b"2"), ("x-a", b"4"), ("x-a", b"6"), ("cookie", b"3; 5; 7"))


def test_cookies_that_are_told_apart_from_the_headers_are_sent(tmp_path: Path) -> None:
    found = one(tmp_path, entry(cookies=[{"name": "a", "value": "1"}, {"name": "b", "value": "\u00e9"}]))
    assert found.headers == (("cookie", "a=1; b=\u00e9".encode()),)


def test_values_are_sent_in_utf_8(tmp_path: Path) -> None:
    for escaped in (True, False):
        found = one(tmp_path, entry(headers=fields(x_name="J\u00fcrgen \u20ac")), ensure_ascii=escaped)
        assert found.headers == (("x-name", "J\u00fcrgen \u20ac".encode()),)


@pytest.mark.parametrize("breaking", ["a\r\nx-admin: 1", "a\nb", "a\rb", "a\0b"])
def test_a_line_break_in_a_value_is_refused_and_named(tmp_path: Path, breaking: str) -> None:
    assert errors(tmp_path, entry(headers=fields(x_a=breaking))) == [
        "there is a line break in its header x-a"
    ]
    assert errors(tmp_path, entry(cookies=[{"name": "a", "value": breaking}])) == [
        "there is a line break in its cookies"
    ]
    assert errors(tmp_path, post({"mimeType": breaking, "text": "a"})) == [
        "there is a line break in its mimeType"
    ]


@pytest.mark.parametrize("url", [f"{URL}\r\nX: y", "http://a b/", f"{URL}\t"])
def test_a_url_that_would_be_another_request_is_refused(tmp_path: Path, url: str) -> None:
    assert errors(tmp_path, entry(url=url)) == ["its url has blanks or control characters"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (None, "'NoneType' object is not subscriptable"),
        ({"request": None}, "'NoneType' object is not subscriptable"),
        ({}, "'request' is missing"),
        (entry("GET /b HTTP/1.1\r\nx: y\r\n\r\nPOST"), "its method is none"),
        (entry(headers=[{"name": None, "value": "x"}]), "'NoneType' object has no attribute 'lower'"),
        (entry(headers=[{"name": "a b", "value": "x"}]), "a header has no name"),
        (entry(url="http://[::1"), "Invalid IPv6 URL"),
        (post({"text": "?", "encoding": "base64"}), "its body is not base64, though it says so"),
    ],
)
def test_a_bad_entry_among_good_ones_is_named(tmp_path: Path, bad: Any, error: str) -> None:
    assert errors(tmp_path, bad) == [error]


def test_nulls_are_nothing(tmp_path: Path) -> None:
    of = entry(headers=None, cookies=None, postData=None) | {"response": None}
    assert one(tmp_path, of) == Recorded("GET", "/a", (), b"", "api.example", None, None)
    of = entry(headers=[{"name": "x-a", "value": None}], postData={"mimeType": None, "text": None})
    assert one(tmp_path, of).headers == (("x-a", b""),)


@pytest.mark.parametrize(
    ("status", "expected"), [(0, None), (-1, None), ("204", 204), (None, None), ("", None)]
)
def test_statuses_are_read_as_exporters_write_them(tmp_path: Path, status: Any, expected: int | None) -> None:
    assert one(tmp_path, entry() | {"response": {"status": status}}).status == expected


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://API.example:443/a", "api.example", "/a"),
        ("http://api.example:8080", "api.example:8080", "/"),
        ("http://user:secret@h/a?x=%41&&y#part", "h", "/a?x=%41&&y"),
        ('http://h/caf\u00e9?q=\u20ac"<>', "h", "/caf%C3%A9?q=%E2%82%AC%22%3C%3E"),
        ("http://[::1]:80/a;b=1?c=[1]&d=it's", "[::1]", "/a;b=1?c=[1]&d=it's"),
    ],
)
def test_urls_become_host_and_target(tmp_path: Path, url: str, host: str, target: str) -> None:
    found = one(tmp_path, entry(url=url))
    assert (found.host, found.target, found.skip) == (host, target, None)


@pytest.mark.parametrize(
    "of",
    [
        entry(url="data:text/plain,x"),
        entry(url="wss://h/a"),
        entry(url="chrome-extension://x/a"),
        entry("CONNECT", url="https://h:443"),
        entry(url="about:blank"),
    ],
)
def test_what_is_not_http_is_skipped(tmp_path: Path, of: Any) -> None:
    assert one(tmp_path, of).skip == "not http"


# bodies

MULTIPART = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\u00e9\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("data", "named", "body"),
    [
        ({"text": base64.b64encode(b"\x00\xff{").decode(), "encoding": "base64"}, {}, b"\x00\xff{"),
        ({"text": "AP/\n/ew==", "encoding": "BASE64"}, {"content_length": "4"}, b"\x00\xff\xff{"),
        ({"text": "h\u00e9"}, {}, "h\u00e9".encode()),
        ({"text": "h\u00e9"}, {"content_length": "3"}, "h\u00e9".encode()),
        (
            {"text": "\u00ff\u00d8\u0000"},
            {"content_length": "3"},
            b"\xff\xd8\x00",
        ),  # a character for each byte
        ({"text": "h\u00e9", "mimeType": "text/plain; charset=iso-8859-1"}, {}, b"h\xe9"),
        ({"text": "h\udcff"}, {}, b"h\xff"),  # mitmproxy: Python's surrogateescape
        ({"text": "\\ud83d \U0001f600"}, {}, "\\ud83d \U0001f600".encode()),
        ({"text": MULTIPART}, {"content_type": "multipart/form-data; boundary=b"}, MULTIPART.encode()),
        ({"text": "", "params": []}, {}, b""),
        ({"mimeType": FORM, "params": [{"name": "a b", "value": "\u00e9&"}]}, {}, b"a+b=%C3%A9%26"),
        ({"mimeType": FORM, "params": [{"name": "a", "value": "%41"}]}, {"content_length": "5"}, b"a=%41"),
        (
            {"mimeType": "multipart/form-data; boundary=b", "params": [{"name": "a", "value": "\u00e9"}]},
            {"content_length": str(len(MULTIPART.encode()))},
            MULTIPART.encode(),
        ),
        # Firefox: the header lines of the upload come first
        ({"text": f"Content-Type: {FORM}\r\nContent-Length: 3\r\n\r\na=1", "mimeType": FORM}, {}, b"a=1"),
        ({"text": f"Content-Type: {FORM}\r\n\r\na=1"}, {"content_length": "3"}, b"a=1"),
    ],
)
def test_bodies_are_those_that_were_sent(
    tmp_path: Path, data: Any, named: dict[str, str], body: bytes
) -> None:
    for indent in (None, 1):
        found = one(tmp_path, post(data, **named), indent=indent)
        assert (found.body, found.skip) == (body, None)


@pytest.mark.parametrize(
    ("data", "named", "reason"),
    [
        (None, {"content_length": "7"}, "its body is not in the file"),
        (None, {"transfer_encoding": "chunked"}, "its body is not in the file"),
        ({"mimeType": "image/png"}, {"content_length": "7"}, "its body is not in the file"),
        ({"mimeType": "x", "_file": "a.bin"}, {}, "its body is not in the file"),
        # Chrome: forms with files come without what was in them
        ({"text": MULTIPART}, {"content_length": "100000"}, NOT_WHOLE),
        (
            {"mimeType": "multipart/form-data; boundary=b", "params": [{"name": "f", "fileName": "a.png"}]},
            {},
            "its body is not in the file",
        ),
        ({"text": "{}"}, {"content_encoding": "gzip"}, NOT_WHOLE),
        ({"text": "\ufffd\ufffd"}, {}, NOT_WHOLE),
        ({"text": "x", "encoding": "quoted-printable"}, {}, "its body is in the encoding 'quoted-printable'"),
    ],
)
def test_a_body_that_is_not_there_as_it_was_sent_is_not_made_up(
    tmp_path: Path, data: Any, named: dict[str, str], reason: str
) -> None:
    found = one(tmp_path, post(data, **named))
    assert (found.skip, found.body) == (reason, b"")


def test_the_media_type_is_that_of_the_headers_else_that_of_the_body(tmp_path: Path) -> None:
    data = {"mimeType": "text/plain", "text": "a"}
    assert one(tmp_path, post(data)).headers == (("content-type", b"text/plain"),)
    assert one(tmp_path, post(data, content_type="x/y")).headers == (("content-type", b"x/y"),)
    get = entry(postData={"mimeType": "", "params": [], "text": ""})  # Firefox, of every GET
    assert (one(tmp_path, get).headers, one(tmp_path, get).skip) == ((), None)


# files


def test_a_byte_order_mark_and_other_members_may_come_first(tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = {"_by": "me", "n": 1, "log": {"entries": [entry()]}}
    path.write_text(f"\ufeff {json.dumps(content)}")
    assert format_of(path) == "HAR"
    assert [each.target for each in requests(path, "HAR")] == ["/a"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"log": {"entries": []}}'.encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (b"\x1f\x8b\x08\x00", "it is compressed: unpack it first"),
        (b"x\x9c", "it is compressed: unpack it first"),  # mitmproxy's .zhar
    ],
)
def test_what_is_not_read_says_what_to_do(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=error):
        survey(path)


@pytest.mark.parametrize("escape", ["\\udcff", "\\ud83d\\ude00", "\\\\ud83d", "\\u00e9"])
def test_escapes_are_read_wherever_a_piece_of_the_file_ends(tmp_path: Path, escape: str) -> None:
    """A file on one line is read in pieces."""
    path = tmp_path / "x.har"
    expected = json.loads(f'"{escape}"').encode("utf-8", "surrogateescape")
    for padding in range(65500, 65545):
        text = "x" * padding
        path.write_text(json.dumps({"log": {"entries": [post({"text": text + "@"})]}}).replace("@", escape))
        (found,) = requests(path, "HAR")
        assert found.body == text.encode() + expected


def test_a_form_is_written_as_browsers_do(tmp_path: Path) -> None:
    values = {"a": "1 + 1", "b": "x/y~z"}
    params = [{"name": name, "value": value} for name, value in values.items()]
    assert one(tmp_path, post({"mimeType": FORM, "params": params})).body == urlencode(values).encode()
