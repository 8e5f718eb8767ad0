"""Texts of routing.yaml for tests."""

from __future__ import annotations

from proxy.config import ConfigError, ConfigErrors, Loaded, load_text

BACKENDS = "backends: {legacy: {url: 'http://127.0.0.1:5001'}, async: {url: 'http://127.0.0.1:5002'}}\n"


def load(text: str, **environ: str) -> Loaded:
    """The text with two backends added below it, so that its first line is line 1."""
    return load_text(f"{text}\n{BACKENDS}", source="routing.yaml", environ=environ)


def errors(text: str, **environ: str) -> list[ConfigError]:
    try:
        load(text, **environ)
    except ConfigErrors as found:
        return list(found.errors)
    return []


def error(text: str, **environ: str) -> ConfigError:
    """The one error that the text has."""
    (found,) = errors(text, **environ)
    return found
