from __future__ import annotations

import pytest

from proxy.config import ConfigErrors, load_text
from proxy.config.unsupported import NOT_YET
from tests.config.texts import error, errors

ASKS_TOO_EARLY = [
    ("compare: {sample: 0.1%}", "compare.sample"),
    ("endpoints: {GET /a: {compare: {sample: 5%}}}", 'endpoints."GET /a".compare.sample'),
    ("compare: {rate: 10}", "compare.rate"),
    ("compare: {in_flight: 1}", "compare.in_flight"),
    ("compare: {redact: [a.b]}", "compare.redact"),
]


@pytest.mark.parametrize(("text", "key"), ASKS_TOO_EARLY)
def test_what_does_not_exist_yet_is_refused_not_ignored(text: str, key: str) -> None:
    found = error(text)
    assert found.key == key
    assert NOT_YET in found.message


@pytest.mark.parametrize(
    ("setting", "key"),
    [("dry_run: {header: 'x-dry-run: 1'}", "dry_run.header")],
)
def test_backend_settings_that_do_not_exist_yet_are_refused(setting: str, key: str) -> None:
    text = f"backends: {{legacy: {{url: 'http://a', {setting}}}, async: {{url: 'http://b'}}}}"
    with pytest.raises(ConfigErrors) as caught:
        load_text(text, source="x", environ={})
    (found,) = caught.value.errors
    assert found.key == f"backends.legacy.{key}"
    assert NOT_YET in found.message


def test_the_same_keys_at_rest_are_accepted() -> None:
    text = """
compare: {sample: 0%, rate: 50, in_flight: 32, redact: []}
endpoints: {POST /a: {idempotency: off, compression: off, compare: {sample: 0%}}}
"""
    assert errors(text) == []
