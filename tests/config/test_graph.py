from __future__ import annotations

import pytest

from proxy.config.graph import MAX_CHARACTERS, MAX_DEPTH, Position, Problem, compose, lines_of


def problem(text: str) -> Problem:
    with pytest.raises(Problem) as caught:
        compose(text)
    return caught.value


def test_nodes_know_their_place_in_characters() -> None:
    root = compose("# é😀\na: {b: '1'}\n")
    assert root is not None
    ((key, value),) = root.entries
    assert key.start == Position(5, 1, 0)
    assert (value.start, value.end, value.flow) == (Position(8, 1, 3), Position(16, 1, 11), True)
    inner = value.entries[0][1]
    assert (inner.text, inner.plain, inner.start.offset, inner.end.offset) == ("1", False, 12, 15)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_text_without_content_has_no_nodes_or_an_empty_one(text: str) -> None:
    root = compose(text)
    assert root is None or root.text == ""


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a: b: c", 0, 4), ("a: [1, 2\nb: 3", 1, 1), ("\ta: 1", 0, 0), ("a: 'x", 0, 5), ("a: @x", 0, 3)],
)
def test_what_is_not_yaml_is_refused_at_its_place(text: str, line: int, column: int) -> None:
    found = problem(text)
    assert (found.mark.line, found.mark.column) == (line, column)


def test_alias_is_only_marked_so_that_other_errors_are_found_too() -> None:
    root = compose("a: *b")
    assert root is not None
    assert "aliases are not supported" in root.entries[0][1].refused


def test_second_document_is_refused() -> None:
    assert "one document" in problem("a: 1\n---\nb: 2\n").message


@pytest.mark.parametrize("char", ["\0", "\x07", "\x7f", "\x9f", "\ufffe"])
def test_characters_that_yaml_forbids_are_named_with_their_place(char: str) -> None:
    found = problem(f"a: 1\nb: x{char}y\n")
    assert found.mark.line == 1
    assert f"U+{ord(char):04X}" in found.message


def test_lone_surrogate_is_refused() -> None:
    assert "surrogate" in problem("a: \ud800").message


def test_depth_and_length_are_bounded() -> None:
    assert "deeper" in problem("[" * (MAX_DEPTH + 1)).message
    assert "deeper" in problem("a: " + "{b: " * 1000).message
    assert "over" in problem("#" * (MAX_CHARACTERS + 1)).message


def test_growing_aliases_are_never_expanded() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    root = compose("\n".join(lines))
    assert root is not None
    assert all(value.refused for _, value in root.entries)
    assert all(len(value.items) == 2 for _, value in root.entries)


@pytest.mark.parametrize("text", ["a: !!str 5", "a: !x {}", "a: !!python/object:os.system {}"])
def test_tags_are_refused(text: str) -> None:
    root = compose(text)
    assert root is not None
    assert "tags are not supported" in root.entries[0][1].refused


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029"])
def test_characters_that_only_yaml_1_1_took_for_line_breaks_are_ordinary_ones(char: str) -> None:
    root = compose(f"# a {char} comment\na: 'x{char}y'\nb: x{char} y # z{char}\n\ue000: {char}\n")
    assert root is not None
    assert [(key.text, value.text) for key, value in root.entries] == [
        ("a", f"x{char}y"),
        ("b", f"x{char} y"),
        ("\ue000", char),
    ]
    assert [key.start.line for key, _ in root.entries] == [1, 2, 3]


def test_lines_are_counted_as_places_are() -> None:
    text = "a\x85b\r\n\rc\u2028\x0c\n\nd"
    assert lines_of(text) == ["a\x85b\r\n", "\r", "c\u2028\x0c\n", "\n", "d"]
    assert lines_of("") == []
    assert lines_of("a\n") == ["a\n"]
