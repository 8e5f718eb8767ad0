"""Where `strangler init` finds endpoints: in an OpenAPI document, or in a Flask application."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from proxy.config.discover import Discovery, from_openapi, from_url_map

MAX_DOCUMENT = 16 * 1024 * 1024  # bytes
FETCH_TIMEOUT = 10.0  # seconds
_TOO_DEEP = "is nested too deeply for an API's description"


class SourceError(Exception):
    """The source cannot be read or is not what it should be; the message names it."""


def openapi(location: str) -> Discovery:
    """Reads a file or an http(s) URL, JSON or YAML. Raises SourceError."""
    data = _fetch(location) if location.startswith(("http://", "https://")) else _read(location)
    if len(data) > MAX_DOCUMENT:
        raise SourceError(f"{location} is over {MAX_DOCUMENT} bytes")
    try:
        return from_openapi(_parse(data))
    except ValueError as error:
        raise SourceError(f"{location} {error}") from None


def flask(target: str) -> Discovery:
    """Imports `module:attribute`: an application, or a function that creates one (Flask's own convention).

    Imports the module, with the current directory on the path. Raises SourceError.
    """
    module, colon, attribute = target.partition(":")
    if not module or not colon or not attribute:
        raise SourceError(f"{target} is not module:app, such as shop.web:app or shop.web:create_app()")
    app = _application(module, attribute.removesuffix("()"), target)
    try:
        return from_url_map(app.url_map.iter_rules())
    except AttributeError:
        raise SourceError(f"{target} is a {type(app).__name__} without a url_map: not a Flask app") from None


def _application(module: str, attribute: str, target: str) -> Any:
    sys.path.insert(0, "")
    try:
        app = getattr(importlib.import_module(module), attribute)
        return app if hasattr(app, "url_map") or not callable(app) else app()
    except Exception as error:  # it is somebody else's code
        raise SourceError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")


def _read(location: str) -> bytes:
    try:
        with Path(location).open("rb") as file:
            return file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise SourceError(f"{location} cannot be read: {error.strerror}") from None


def _fetch(location: str) -> bytes:
    import httpx2  # only this needs it

    try:
        with httpx2.stream("GET", location, timeout=FETCH_TIMEOUT, follow_redirects=True) as answer:
            answer.raise_for_status()
            data = b""
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MAX_DOCUMENT:
                    break
            return data
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SourceError(f"{location} cannot be fetched: {error}") from None


def _parse(data: bytes) -> Any:
    """Raises ValueError with a phrase that follows the location."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        pass
    try:
        return yaml.safe_load(data)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except yaml.YAMLError as error:
        raise ValueError(f"is neither JSON nor YAML: {' '.join(str(error).split())}") from None
