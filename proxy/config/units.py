"""What the number of each setting counts, read from its type in the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel

from proxy.config import model
from proxy.config.types import Unit


def units(section: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """What is written behind the number, by key below this section, of those that have a unit."""
    found: dict[str, str] = {}
    for name, field in section.model_fields.items():
        key = prefix + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found.update(units(field.annotation, f"{key}."))
            continue
        for unit in [*_marks(field.metadata), *_marks(_nested(field.annotation))]:
            found[key] = unit.suffix
    return found


def _marks(metadata: Any) -> Iterator[Unit]:
    return (each for each in metadata if isinstance(each, Unit))


def _nested(annotation: Any) -> Iterator[Any]:
    """Of the parts of a type, such as of `Duration | None`."""
    for part in get_args(annotation):
        yield from getattr(part, "__metadata__", ())


SETTINGS: Final = units(model.Config)

_ENDPOINT: Final = units(model.CompareSection, "compare.") | units(model.EndpointSection)

ENDPOINT: Final = {
    {"timeouts.response": "response_timeout", "timeouts.idle": "idle_timeout"}.get(key, key): unit
    for key, unit in _ENDPOINT.items()
}
"""By the names that `proxy.core.settings.Endpoint` has, which holds its general settings too."""
