from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config import ConfigErrors, load_file, load_text
from proxy.config.variables import MAX_FILE, Variables
from tests.config.texts import BACKENDS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${B}z", "x1y2z"),
        ("${C:-three}", "three"),
        ("${C:-}", ""),
        ("${A:-three}", "1"),
        ("${EMPTY:-three}", "three"),
        ("${EMPTY}", ""),
        ("${C:-http://h:80/$x}", "http://h:80/$x"),
        ("$A $$ {A}", "$A $$ {A}"),
    ],
)
def test_variables_are_replaced(text: str, value: str) -> None:
    assert Variables({"A": "1", "B": "2", "EMPTY": ""}).fill(text) == value


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A", "${A-b}", "${A:b}", "${ A }"])
def test_malformed_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$\{NAME\}"):
        Variables({"A": "1"}).fill(text)


def test_a_variables_value_is_not_searched_for_variables() -> None:
    assert Variables({"A": "${B}", "B": "x"}).fill("${A}") == "${B}"


def test_a_file_stands_in_for_a_variable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    variables = Variables({}, tmp_path / "elsewhere")
    assert variables.fill(f"Bearer ${{file:{tmp_path}/token}}!") == "Bearer s3cret!"
    assert Variables({}, tmp_path).fill("${file:token}${file:./token}") == "s3crets3cret"


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"a\n", "a"), (b"a\r\n", "a"), (b"a", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), ("é".encode(), "é")],
)
def test_only_the_final_newline_is_cut_off(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert Variables({}, tmp_path).fill("${file:x}") == value


def test_a_files_content_is_not_searched_for_variables(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("${A} ${file:x}")
    assert Variables({"A": "1"}, tmp_path).fill("${file:x}") == "${A} ${file:x}"


def test_the_largest_file_is_read_and_no_larger_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a" * MAX_FILE)
    assert len(Variables({}, tmp_path).fill("${file:x}")) == MAX_FILE
    (tmp_path / "x").write_bytes(b"a" * (MAX_FILE + 1))
    with pytest.raises(ValueError, match="over 65536 bytes"):
        Variables({}, tmp_path).fill("${file:x}")


@pytest.mark.parametrize("text", ["${file:}", "${file:x", "${file:${A}}", "${FILE:x}", "${ file:x}"])
def test_a_malformed_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$\{file:PATH\}"):
        Variables({"A": "x"}).fill(text)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    path.symlink_to(path)  # permissions do not hold for root


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: None, "cannot be read (No such file or directory): create it"),
    (unreadable, "cannot be read (Too many levels of symbolic links): make it readable"),
    (Path.mkdir, "is a directory, pipe or device: name the file with the secret"),
    (pipe, "is a directory, pipe or device: name the file with the secret"),
    (lambda path: path.write_text(""), "is empty: write the secret into it"),
    (lambda path: path.write_text("\n"), "is empty: write the secret into it"),
    (lambda path: path.write_bytes(b"x" * 70_000), "is over 65536 bytes"),
    (lambda path: path.write_bytes(b"pl4nted\xff"), "is not UTF-8 (byte 7): write the secret as text"),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_a_file_that_cannot_be_had_is_an_error_with_place_and_remedy(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "token")
    with pytest.raises(ConfigErrors) as caught:
        load_text(
            "override:\n  token: ${file:token}\n" + BACKENDS,
            source=str(tmp_path / "routing.yaml"),
            environ={},
        )
    (error,) = caught.value.errors
    assert (error.line, error.column, error.key) == (2, 10, "override.token")
    assert f"the file {tmp_path}/token {message}" in error.message
    assert "pl4nted" not in str(error)


def test_a_file_without_permission_says_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        ValueError, match=rf"Permission denied\): let the user with uid {os.geteuid()} read it"
    ):
        Variables({}, tmp_path).fill("${file:token}")


@pytest.mark.parametrize("content", ["12345678", "true", "null", "~", "1.50", "-5"])
def test_a_files_content_is_text_where_text_is_wanted(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content + "\n")
    text = "server:\n  admin_token: ${file:token}\noverride: {token: '${file:token}'}\n" + BACKENDS
    (tmp_path / "routing.yaml").write_text(text)
    snapshot = load_file(tmp_path / "routing.yaml", environ={}).snapshot
    assert (snapshot.server.admin_token, snapshot.override_token) == (content, content)


def test_each_load_reads_the_file_anew(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text("override: {token: '${file:token}'}\n" + BACKENDS)
    hashes = []
    for content in ("one", "two", "two\n"):
        (tmp_path / "token").write_text(content)
        loaded = load_file(tmp_path / "routing.yaml", environ={})
        assert loaded.snapshot.override_token == content.rstrip()
        hashes.append(loaded.snapshot.hash)
    assert hashes[0] != hashes[1] == hashes[2]
