"""Updates the endpoints of a routing.yaml in place: adds new ones, and marks removed ones."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.config.discover import DiscoveredEndpoint, Discovery
from proxy.config.draft import entries
from proxy.config.edit import BOM
from proxy.config.errors import ConfigError, ConfigErrors, key_text
from proxy.config.graph import Node, Problem, compose, lines_of
from proxy.config.templates import shape

GONE: Final = "# gone: the source does not list this any more"
ADDED: Final = "# added by strangler init --merge"


class Merged(NamedTuple):
    """`text` is the new file; the endpoints are those that this merge added, marked, or unmarked again."""

    text: str
    added: tuple[str, ...]
    gone: tuple[str, ...]
    back: tuple[str, ...]


def merge(text: str, discovery: Discovery, *, source: str = "routing.yaml") -> Merged:
    """Every other character stays. Raises ConfigErrors if the endpoints are not a block of lines."""
    if text.startswith(BOM):
        merged = merge(text[1:], discovery, source=source)
        return merged._replace(text=BOM + merged.text)
    try:
        return _merge(text, discovery)
    except Problem as problem:
        mark = problem.mark
        error = ConfigError(mark.line + 1, mark.column + 1, key_text(("endpoints",)), "", problem.message)
        raise ConfigErrors(source, [error]) from None


def _merge(text: str, discovery: Discovery) -> Merged:
    section = _section(compose(text))
    listed = {shape(key.text): key for key, _ in section.entries} if section else {}
    known = {shape(each.endpoint) for each in discovery.found}
    added = [each for each in discovery.found if shape(each.endpoint) not in listed]
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    lines = lines_of(text)
    gone, back = [], []
    for key in sorted(listed.values(), key=lambda key: -key.start.line):  # from below: line numbers hold
        above = key.start.line - 1
        marked = above >= 0 and lines[above].strip() == GONE
        if shape(key.text) in known or key.text.endswith("...}"):
            if marked:
                del lines[above]
                back.append(key.text)
        elif not marked:
            lines.insert(key.start.line, f"{' ' * key.start.column}{GONE}{end_of_line}")
            gone.append(key.text)
    result = _append("".join(lines), added, end_of_line) if added else "".join(lines)
    return Merged(result, tuple(each.endpoint for each in added), tuple(gone[::-1]), tuple(back[::-1]))


def _append(text: str, added: list[DiscoveredEndpoint], end_of_line: str) -> str:
    """After the last endpoint, or as a section of its own."""
    section = _section(compose(text))
    indent = " " * section.entries[0][0].start.column if section and section.entries else "  "
    new = (f"{indent}{ADDED}", *entries(added, indent=indent))
    block = "".join(f"{line}{end_of_line}" for line in new)
    if section is None:
        gap = "" if not text or text.endswith("\n") else end_of_line
        return f"{text}{gap}endpoints:{end_of_line}{block}"
    if not section.entries:  # nothing, or {}
        before, after = text[: section.start.offset].rstrip(" "), text[section.end.offset :].lstrip(" ")
        return f"{before}{end_of_line}{block}{after.removeprefix(end_of_line)}"
    lines = lines_of(text)
    position = _end_of(section.entries[-1], lines)
    if not lines[position - 1].endswith("\n"):
        lines[position - 1] += end_of_line
    return "".join([*lines[:position], block, *lines[position:]])


def _end_of(entry: tuple[Node, Node], lines: list[str]) -> int:
    """Number of lines up to the entry's last. YAML lets a block end only where the next key begins."""
    key, value = entry
    end = value.end.line + (value.end.column > 0)
    while end > key.start.line + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return max(end, key.start.line + 1)


def _section(root: Node | None) -> Node | None:
    """The mapping of endpoints; None if the file has no such key."""
    if root is None or root.kind != "mapping":
        return None
    found = [value for key, value in root.entries if key.text == "endpoints"]
    if not found:
        return None
    section = found[0]
    if section.refused:
        raise Problem(section.start, section.refused)
    if section.kind == "scalar" and section.text not in ("", "~", "null"):
        raise Problem(section.start, f"{section.text} is not a mapping of endpoints")
    if section.flow and section.entries:
        raise Problem(section.start, "is written in braces: put each endpoint on its own line first")
    return section
