"""The templates of the pages.

They are read when the process starts, so that they belong to its code, and compiled when somebody looks at a
page: at the start that would be a tenth of what the process does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.core.timestamps import timestamp

if TYPE_CHECKING:
    from jinja2 import Environment

HERE: Final = Path(__file__).parent / "templates"
SOURCES: Final = {path.name: path.read_text("utf-8") for path in HERE.iterdir()}


class Template:
    """One of them, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def render(self, *args: Any, **values: Any) -> str:
        return environment().get_template(self._name).render(*args, **values)


@lru_cache(maxsize=1)
def environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    made = Environment(
        loader=DictLoader(SOURCES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["timestamp"] = timestamp
    return made
