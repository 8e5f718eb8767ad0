"""The schema and docs/configuration.md say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from proxy.config import load_text
from proxy.config.model import BackendSection, Config, EndpointSection

DOCS = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()
SHARED: dict[str, type[BaseModel]] = {"backends": BackendSection, "endpoints": EndpointSection}


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key that takes a value: "server.timeouts.drain"; NAME stands for a name that one chooses."""
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        kind: Any = field.annotation
        if key in SHARED:
            continue
        if get_origin(kind) is dict:
            yield from keys(get_args(kind)[1], f"{key}.NAME.")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{key}.")
        else:
            yield key


def documented(chapter: str) -> set[str]:
    text = DOCS.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


CHAPTERS = [name for name in Config.model_fields if name not in SHARED]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_key_of_a_section_is_documented_and_no_other(chapter: str) -> None:
    expected = {key for key in keys(Config) if key.split(".")[0] == chapter}
    assert expected
    assert documented(chapter) == expected


@pytest.mark.parametrize("chapter", SHARED)
def test_every_key_of_backends_and_endpoints_is_documented_and_no_other(chapter: str) -> None:
    assert documented(chapter) == set(keys(SHARED[chapter]))


def defaults() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \|[^\n]*\|$", DOCS, re.MULTILINE)
    return [row for row in rows if row[0] in set(keys(Config))]


@pytest.mark.parametrize(("key", "default"), defaults(), ids=[key for key, _ in defaults()])
def test_documented_default_is_the_default(key: str, default: str) -> None:
    """Written out, it makes no difference to the config hash."""
    text = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    written = default
    for part in reversed(key.split(".")):
        written = f"{{{part}: {written}}}" if part != key.split(".")[0] else f"{part}: {written}"
    without = load_text(text, source="x", environ={}).snapshot.hash
    assert load_text(f"{text}{written}", source="x", environ={}).snapshot.hash == without


def test_documented_examples_are_valid() -> None:
    example, rules, plans = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    assert len(load_text(example, source="x", environ={}).snapshot.endpoints) == 2
    backends = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    (endpoint,) = load_text(backends + rules, source="x", environ={}).snapshot.endpoints
    assert [rule.kind for rule in endpoint.compare.rules] == ["ignore", "time", "unordered"]
    (endpoint,) = load_text(backends + plans, source="x", environ={}).snapshot.endpoints
    assert endpoint.plan is not None


def plan_defaults() -> list[tuple[str, str]]:
    return re.findall(r"^\| `rollouts\.NAME\.([a-z_.]+)` \| `([^`]+)` \|", DOCS, re.MULTILINE)


@pytest.mark.parametrize(("key", "default"), plan_defaults(), ids=[key for key, _ in plan_defaults()])
def test_documented_default_of_a_plan_is_the_default(key: str, default: str) -> None:
    text = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    written = default
    for part in reversed(key.split(".")):
        written = f"{part}: {written}" if part == key.split(".")[0] else f"{{{part}: {written}}}"
    hashes = {
        load_text(f"{text}rollouts: {{a: {{steps: [0, 100]{more}}}}}", source="x", environ={}).snapshot.hash
        for more in ("", f", {written}")
    }
    assert len(hashes) == 1


def test_every_key_of_a_plan_but_its_steps_has_a_documented_default() -> None:
    expected = {key for key in keys(Config) if key.startswith("rollouts.")}
    assert {f"rollouts.NAME.{key}" for key, _ in plan_defaults()} == expected - {"rollouts.NAME.steps"}
