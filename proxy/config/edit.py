"""Changes one weight in the text of a routing.yaml and leaves every other character as it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.config.errors import ConfigError, ConfigErrors, Path, key_text
from proxy.config.graph import Node, Position, Problem, compose
from proxy.config.types import parse_weight
from proxy.core.weights import percent

BOM: Final = "\ufeff"


class Splice(NamedTuple):
    """Replaces the characters from offset `start` to offset `end` with `text`."""

    start: int
    end: int
    text: str

    def into(self, text: str) -> str:
        return text[: self.start] + self.text + text[self.end :]


def set_weight(text: str, endpoint: str, weight: float, *, source: str = "routing.yaml") -> str:
    """The text with the endpoint's weight (percent, as written there) replaced, or added if it had none.

    The weight takes the place of a rollout. Takes block and flow style, and `{}` or nothing as the endpoint's
    value. Raises ConfigErrors if the endpoint is not listed, or its weight cannot be changed in one place.
    """
    if text.startswith(BOM):  # libyaml does not count it
        return BOM + set_weight(text[1:], endpoint, weight, source=source)
    path: Path = ("endpoints", endpoint)
    try:
        number = percent(parse_weight(weight))
    except ValueError as reason:
        error = ConfigError(0, 0, key_text((*path, "weight")), f"{weight:g}", f"{weight:g} {reason}")
        raise ConfigErrors(source, [error]) from None
    try:
        root = compose(text)
        splice = _splice(text, root, endpoint, number)
        edited = splice.into(text)
        if not _took(edited, endpoint, number):
            place = find_endpoint(root, endpoint)[1].start
            raise Problem(place, "the weight cannot be set here: write the endpoint on one line")
    except Problem as problem:
        mark = problem.mark
        error = ConfigError(mark.line + 1, mark.column + 1, key_text(path), "", problem.message)
        raise ConfigErrors(source, [error]) from None
    return edited


def _took(edited: str, endpoint: str, number: str) -> bool:
    """Whether the edited text says what it should; there are more ways to write YAML than one thinks of."""
    try:
        value = find_endpoint(compose(edited), endpoint)[1]
        written, rollout = entry(value, "weight"), entry(value, "rollout")
    except Problem:
        return False
    left = rollout is None or is_nothing(rollout[1])
    return left and written is not None and written[1].text == number


def _splice(text: str, root: Node | None, endpoint: str, weight: str) -> Splice:
    _, value = find_endpoint(root, endpoint)
    if value.refused:
        raise Problem(value.start, value.refused)
    if is_nothing(value):
        return instead_of_nothing(text, value, f"{{weight: {weight}}}")
    if value.kind != "mapping":
        raise Problem(value.start, f"{value.text} is not a mapping of keys to values")
    old, rollout = entry(value, "weight"), entry(value, "rollout")
    if old is None:
        return _added(text, value, weight) if rollout is None else _instead_of(text, rollout, weight)
    if rollout is not None and not is_nothing(rollout[1]):
        raise Problem(rollout[0].start, "has a weight and a rollout: remove one of them first")
    number = old[1]
    if number.kind != "scalar" or number.refused:
        raise Problem(number.start, number.refused or "the weight is not a number")
    if "${" in number.text:
        raise Problem(number.start, f"the weight comes from the environment ({number.text}): set it there")
    if number.start.offset == number.end.offset:
        return instead_of_nothing(text, number, weight)
    return Splice(number.start.offset, number.end.offset, weight)


def find_endpoint(root: Node | None, endpoint: str) -> tuple[Node, Node]:
    """Its key and value. Raises Problem if it is not listed."""
    endpoints = entry(root, "endpoints")
    if endpoints is None:
        raise Problem(root.start if root else Position(0, 0, 0), "the file has no endpoints")
    if endpoints[1].refused:
        raise Problem(endpoints[1].start, endpoints[1].refused)
    found = entry(endpoints[1], endpoint)
    if found is None:
        listed = ", ".join(key.text for key, _ in endpoints[1].entries[:20]) or "none"
        raise Problem(endpoints[0].start, f"is not listed in routing.yaml; listed are: {listed}")
    return found


def entry(node: Node | None, name: str) -> tuple[Node, Node] | None:
    """Key and value of one entry of a mapping. Raises Problem if the key is there twice."""
    if node is None or node.kind != "mapping":
        return None
    found = [entry for entry in node.entries if entry[0].text == name]
    if len(found) > 1:
        raise Problem(found[1][0].start, f"{name} is given twice")
    return found[0] if found else None


def is_nothing(value: Node) -> bool:
    return value.kind == "scalar" and value.plain and value.text in ("", "~", "null")


def instead_of_nothing(text: str, value: Node, new: str) -> Splice:
    """An absent value may end right at its colon, which needs a blank after it."""
    start = value.start.offset
    blank = " " if text[start - 1 : start] == ":" else ""
    return Splice(start, value.end.offset, blank + new)


def _instead_of(text: str, rollout: tuple[Node, Node], weight: str) -> Splice:
    """In the place of a rollout. Text in the manner of `>` ends only where the next key begins."""
    start = rollout[0].start.offset
    return Splice(start, start + len(text[start : rollout[1].end.offset].rstrip()), f"weight: {weight}")


def _added(text: str, value: Node, weight: str) -> Splice:
    """Before the other keys: there is no knowing which comment belongs to what comes last."""
    if value.flow:
        after = value.start.offset + 1
        return Splice(after, after, f"weight: {weight}{', ' if value.entries else ''}")
    first = value.entries[0][0].start
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    return Splice(first.offset, first.offset, f"weight: {weight}{end_of_line}{' ' * first.column}")
