from __future__ import annotations

import pytest

from proxy.config.excerpt import MAX_WIDTH, excerpt


def test_the_line_and_a_caret_below_the_column() -> None:
    assert excerpt("listen: 1\nweight:\t2\n", 2, 9) == ["weight:\t2", "       \t^"]


@pytest.mark.parametrize("line", [0, 3, -1])
def test_a_line_that_is_not_there(line: int) -> None:
    assert excerpt("a\nb", line, 1) == []


def test_a_long_line_is_cut_around_the_column() -> None:
    shown, caret = excerpt("url: " + "x" * 1000 + "HERE" + "y" * 1000, 1, 1006)
    assert len(shown) == MAX_WIDTH
    assert shown[caret.index("^") :].startswith("HERE")


@pytest.mark.parametrize(
    "line",
    [
        'server: {admin_token: "s3cret"}',
        "admin_tokn: s3cret",
        "override: {token: 's3cret', x: 1}",
        "state: postgresql://user:s3cret@db/x",
        "salt: s3cret",
        "admin_token: a, s3cret",
        "server: {admin_token: a, s3cret}",
        "server: {admin_token: {s3cret: s3cret}, workers: 1}",
        "server: {admin_token: [a, s3cret]}",
        'admin_token: "a\\"b: s3cret"',
        "admin_token: 'it''s s3cret'",
        "admin_token: a}s3cret",
        "slat: s3cret",
        "admin_pw: s3cret",
        "workers: 1  # was s3cret",
        "dry_run: {header: 'x-dry: s3cret'}",
        "backends: {legacy: {url: 'http://u:s3cret@h'}}",
        "s3cret",
        "[s3cret]",
    ],
)
def test_secrets_are_masked_and_columns_stay(line: str) -> None:
    (shown, _) = excerpt(line, 1, 1)
    assert "s3cret" not in shown
    assert len(shown) == len(line)


@pytest.mark.parametrize(
    "block",
    ["admin_token:\n  s3cret\n", "admin_token: |\n  s3cret\n", 'admin_token: "a\n  s3cret"\n'],
)
def test_a_secret_on_a_line_of_its_own_is_masked(block: str) -> None:
    (shown, _) = excerpt(block, 2, 3)
    assert "s3cret" not in shown
    assert "******" in shown


@pytest.mark.parametrize(
    "text", ["admin_token: 's3cret", "admin_token: a: s3cret", "x: {admin_token: s3cret", "\tx: s3cret"]
)
def test_of_what_cannot_be_parsed_nothing_is_shown(text: str) -> None:
    assert excerpt(text, 1, 1) == []


@pytest.mark.parametrize(
    "line",
    [
        "server: {listen: 127.0.0.1:80, workers: x}",
        "endpoints: {GET /a: {weight: 150}}",
        "phases: {one: 1}",
    ],
)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert excerpt(line, 1, 1)[0] == line
