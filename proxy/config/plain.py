"""A validated configuration as plain values, and sections that are read like those of the model.

The control process validates. A worker that gets the values needs neither the schema nor the library behind
it, which would be half of what it imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from proxy.config.model import Config, EndpointSection

_NAMED: Final = ("phases", "rollouts")  # mappings of names to sections


def values_of(config: Config) -> dict[str, Any]:
    """JSON-ready. Of endpoints only what is given, as there may be thousands; `endpoint` has the rest."""
    from proxy.config.model import EndpointSection  # only who validates has it

    return {
        **config.model_dump(mode="json", exclude={"endpoints"}),
        "endpoint": EndpointSection().model_dump(mode="json"),
        "endpoints": {name: _given(each) for name, each in config.endpoints.items()},
    }


def _given(endpoint: EndpointSection) -> dict[str, Any]:
    """What the file says of it. Its rules are whole, since no section gives them defaults."""
    given = endpoint.model_dump(mode="json", exclude_unset=True)
    if endpoint.compare.rules:
        given["compare"]["rules"] = [rule.model_dump(mode="json") for rule in endpoint.compare.rules]
    return given


class Plain:
    """Stands in for a section of the model where that is compiled: it has what the compiler uses of one."""

    __slots__ = ("_values", "model_fields_set")

    def __init__(self, values: Mapping[str, Any], given: Collection[str]) -> None:
        self._values = values
        self.model_fields_set = given

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the configuration lacks {name}") from None

    def model_dump(self, *, exclude: Collection[str] = (), exclude_unset: bool = False) -> dict[str, Any]:
        """Sections in it stay what they are."""
        names = self.model_fields_set if exclude_unset else self._values
        return {name: self._values[name] for name in names if name not in exclude}


def section(given: Mapping[str, Any], defaults: Plain | None = None) -> Plain:
    """`defaults` stand in for what is not given."""
    values = {} if defaults is None else dict(defaults._values)
    for name, value in given.items():
        values[name] = _value(value, values.get(name))
    return Plain(values, given)


def _value(value: Any, default: Any) -> Any:
    if isinstance(value, dict):
        return section(value, default)
    if isinstance(value, list):
        return tuple(_value(each, None) for each in value)
    return value


def defaults(values: Mapping[str, Any]) -> Plain:
    """A section of which nothing is given."""
    inner = {
        name: defaults(value) if isinstance(value, dict) else _value(value, None)
        for name, value in values.items()
    }
    return Plain(inner, ())


def general_of(values: Mapping[str, Any]) -> Config:
    """All but the endpoints."""
    named = {name: {key: section(each) for key, each in values[name].items()} for name in _NAMED}
    rest = {name: _value(each, None) for name, each in values.items() if name not in (*_NAMED, "endpoints")}
    return cast("Config", Plain({**rest, **named}, values))


def endpoints_of(listed: Mapping[str, Any], defaults: Plain) -> dict[str, EndpointSection]:
    return {name: cast("EndpointSection", section(each, defaults)) for name, each in listed.items()}
