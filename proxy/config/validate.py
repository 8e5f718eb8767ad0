"""Turns values into a validated model, or into all of their errors."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from proxy.config.checks import KEY, checks
from proxy.config.errors import ConfigError, Path, key_text, printable
from proxy.config.graph import Position
from proxy.config.model import Config
from proxy.config.values import Place, RefusedValue, Values
from proxy.core.privacy.sensitive import is_secret_name

_SECRET: Final = frozenset({("server", "admin_token"), ("server", "state"), ("override", "token")})
_SECRET_WORDS: Final = re.compile(r"tok|secret|passw|salt|credential", re.IGNORECASE)
_PHRASES: Final = {
    "model_type": "is not a mapping of keys to values",
    "dict_type": "is not a mapping of keys to values",
    "tuple_type": "is not a list",
}


def validate(values: Values) -> tuple[Config | None, list[ConfigError]]:
    """The model if there are no errors at all; errors of every kind, in no order."""
    findings = list(values.findings)
    broken: set[Path] = set(values.unusable)
    # What is wrong by itself is cut out, so that the rest can still be checked against each other.
    data, config = values.data, None
    if values.otherwise:
        _settle_variables(values)
    for _ in range(3):
        try:
            config = Config.model_validate(data)
            break
        except ValidationError as error:
            found = [_schema_finding(values, each) for each in error.errors(include_url=False)]
            findings += [each for each in found if not _within(each.path, broken)]
            broken.update(each.path for each in found)
            data = _without(data, [each.path for each in found])
    if config is not None:
        for path, phrase in checks(config):
            if not _within(path, broken) and not _holds(path, broken):
                findings.append(_finding(values, path, phrase))
    errors = [_error(each) for each in findings]
    return (config, []) if not errors else (None, errors)


def _settle_variables(values: Values) -> None:
    """Where the text of an unquoted variable will not do, its number, flag or null may."""
    try:
        Config.model_validate(values.data)
    except ValidationError as error:
        refused: list[Path] = [tuple(each["loc"]) for each in error.errors(include_url=False)]
        for path, value in values.otherwise.items():
            if any(each[: len(path)] == path for each in refused):
                holder = values.data
                for part in path[:-1]:
                    holder = holder[part]
                holder[path[-1]] = value


def _schema_finding(values: Values, error: Any) -> RefusedValue:
    path: Path = tuple(error["loc"])
    if path[-1:] == (0,) and path not in values.places and path[:-1] in values.places:
        path = path[:-1]  # one value in the place of a list
    if error["type"] == "extra_forbidden":
        place = _place(values, path)
        shown = "***" if place.shown else ""  # it may have been meant to be a secret
        return RefusedValue(path, place.key, shown, f"unknown key{_nearest(path)}")
    phrase = str(error["ctx"]["error"]) if error["type"] == "value_error" else _PHRASES.get(error["type"])
    return _finding(values, path, phrase or error["msg"])


def _finding(values: Values, path: Path, phrase: str) -> RefusedValue:
    if path[-1:] == (KEY,):
        path = path[:-1]
        return RefusedValue(path, _place(values, path).key, str(path[-1]), f'"{path[-1]}" {phrase}')
    place = _place(values, path)
    shown = "***" if place.shown and (_is_secret(path) or "@" in place.shown) else place.shown
    if path not in values.places:
        return RefusedValue(path, place.key, "", phrase)
    return RefusedValue(path, place.value, shown, f"{shown} {phrase}")


def _place(values: Values, path: Path) -> Place:
    """Of the value itself, or of what it is missing from."""
    while path not in values.places:
        path = path[:-1]
    return values.places[path]


def _error(finding: RefusedValue) -> ConfigError:
    mark: Position = finding.mark
    secret = finding.shown and _is_secret(finding.path)
    value = "***" if secret else finding.shown
    return ConfigError(
        mark.line + 1, mark.column + 1, printable(key_text(finding.path)), value, printable(finding.message)
    )


def _is_secret(path: Path) -> bool:
    """By what it is, or by what it is called."""
    if path in _SECRET or path[-2:] == ("dry_run", "header"):
        return True
    if path[:1] == ("rollouts",) and path[2:3] in (("webhook",), ("first",)):
        return True
    last = str(path[-1]) if path else ""
    return is_secret_name(last) or _SECRET_WORDS.search(last) is not None


def _within(path: Path, broken: set[Path]) -> bool:
    return any(path[:length] in broken for length in range(len(path) + 1))


def _holds(path: Path, broken: set[Path]) -> bool:
    """Whether something broken was cut out from below: what is left may lack just that."""
    return any(each[: len(path)] == path for each in broken)


def _without(data: Any, paths: Iterable[Path]) -> Any:
    """A copy without what is at these paths."""
    data = copy.deepcopy(data)
    for path in paths:
        _cut(data, path)
    return data if isinstance(data, dict) else {}


def _cut(data: Any, path: Path) -> None:
    """Removes the last key of a mapping on the path; so a list with a bad item goes whole."""
    mapping: dict[str | int, Any] = {}
    last: str | int = ""
    for part in path:
        if isinstance(data, dict):
            mapping, last = data, part
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            break
    mapping.pop(last, None)


def _nearest(path: Path) -> str:
    known = sorted(_keys_at(path[:-1]))
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f", did you mean {close[0]}?" if close else f", allowed: {', '.join(known)}"


def _keys_at(path: Path) -> list[str]:
    """The keys that the schema knows at a place."""
    kind: Any = Config
    for part in path:
        if get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else _fields(kind)[str(part)].annotation
    return list(_fields(kind))


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}
