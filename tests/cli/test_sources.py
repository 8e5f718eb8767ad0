from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.cli.sources import SourceError, flask, openapi

DOCUMENT = {"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_json_and_yaml_are_read_from_file_and_url(tmp_path: Path, web: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "a.yaml").write_text("swagger: '2.0'\npaths: {/a: {get: {}}}\n")
    for location in (str(tmp_path / "a.json"), str(tmp_path / "a.yaml"), f"{web}/a.json"):
        assert [each.endpoint for each in openapi(location).found] == ["GET /a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is neither JSON nor YAML"),
        ("[1]", "is not an OpenAPI document"),
        ("[" * 50_000 + "]" * 50_000, "is nested too deeply"),
        ("[" * 50_000, "is nested too deeply"),
        ("- " * 5_000 + "a", "is nested too deeply"),
    ],
    ids=["cut-off", "list", "deep", "deep-and-cut-off", "deep-yaml"],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        openapi(str(path))
    assert str(path) in str(caught.value)


def test_a_source_that_cannot_be_had_is_named(tmp_path: Path, web: str) -> None:
    with pytest.raises(SourceError, match="nothing cannot be read: No such file"):
        openapi(str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match=r"cannot be fetched: .*404"):
        openapi(f"{web}/nothing")


@pytest.mark.parametrize("target", ["app", "make", "make()"])
def test_flask_takes_an_app_and_a_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    name = f"shop_{target.strip('()')}_{len(target)}"
    (tmp_path / f"{name}.py").write_text(
        "from flask import Flask\napp = Flask('x', static_folder=None)\n"
        "@app.get('/a/<int:x>')\ndef a(x): return ''\ndef make(): return app\n"
    )
    monkeypatch.chdir(tmp_path)
    assert [each.endpoint for each in flask(f"{name}:{target}").found] == ["GET /a/{x}"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop", "is not module:app"),
        ("no_such_module:app", "cannot be imported: ModuleNotFoundError"),
        ("json:nothing", "cannot be imported: AttributeError"),
        ("string:ascii_letters", "is a str without a url_map"),
    ],
)
def test_what_is_no_flask_app_is_said(target: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        flask(target)
