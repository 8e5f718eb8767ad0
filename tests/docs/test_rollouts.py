"""What docs/rollouts.md tells the reader to write is accepted, and what it tells the reader to run exists."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from proxy.cli.freeze import freeze, unfreeze
from proxy.cli.rollout import rollout
from proxy.config import load_text

DOCS = Path(__file__).parent.parent.parent / "docs"
BACKENDS = 'backends: {legacy: {url: "http://127.0.0.1:1"}, async: {url: "http://127.0.0.1:2"}}\n'


@pytest.mark.parametrize("name", ["rollouts.md", "configuration.md"])
def test_the_plan_that_is_shown_is_accepted(name: str) -> None:
    shown = re.findall(r"^ *```yaml\n(.*?)^ *```", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)
    (plan,) = [each for each in map(textwrap.dedent, shown) if each.startswith("rollouts:")]
    load_text(BACKENDS + plan, source=name, environ={})  # as it is printed: the guide first tries the plan
    loaded = load_text(BACKENDS + plan.replace("weight: 0", "rollout: careful"), source=name, environ={})
    (endpoint,) = loaded.snapshot.endpoints
    assert endpoint.plan is not None
    assert endpoint.plan.steps == (0, 100, 500, 2500, 5000, 10000)


def test_every_action_is_a_command() -> None:
    text = (DOCS / "rollouts.md").read_text()
    actions = set(re.findall(r"strangler rollout ([a-z]+)", text))
    assert actions == set(rollout.commands)
    assert {freeze.name, unfreeze.name} == set(re.findall(r"strangler ((?:un)?freeze)", text))
