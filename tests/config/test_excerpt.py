from __future__ import annotations

import pytest

from proxy.config.excerpt import MAX_WIDTH, excerpt


def test_the_line_and_a_caret_below_the_column() -> None:
    assert excerpt("a: 1\n\tb: 2\n", 2, 5) == ["\tb: 2", "\t   ^"]


@pytest.mark.parametrize("line", [0, 3, -1])
def test_a_line_that_is_not_there(line: int) -> None:
    assert excerpt("a\nb", line, 1) == []


def test_a_long_line_is_cut_around_the_column() -> None:
    shown, caret = excerpt("x" * 1000 + "HERE" + "y" * 1000, 1, 1001)
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
        "admin_token: 's3cret",
    ],
)
def test_secrets_are_masked_and_columns_stay(line: str) -> None:
    (shown, _) = excerpt(line, 1, 1)
    assert "s3cret" not in shown
    assert len(shown) == len(line)
