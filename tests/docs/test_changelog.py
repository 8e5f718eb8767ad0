"""CHANGELOG.md is what a release is cut from."""

from __future__ import annotations

import re
from pathlib import Path

import proxy

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_newest_release_is_the_version_of_the_package() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$", TEXT, re.MULTILINE)
    assert released[0] == proxy.__version__
    assert released == sorted(released, key=lambda version: [*map(int, version.split("."))], reverse=True)


def test_each_release_has_each_section_at_most_once() -> None:
    releases = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert releases[0].startswith("Unreleased\n")
    for release in releases:
        sections = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert len(sections) == len(set(sections))
        assert set(sections) <= SECTIONS
