"""From the text of a routing.yaml to a compiled snapshot, or to all of its errors.

A worker only compiles. So that it starts sooner, what reads and edits files is imported when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.config.compile import compile_in_slices, compile_values
    from proxy.config.difference import ConfigDifference
    from proxy.config.edit import set_weight
    from proxy.config.edit_rules import add_rule
    from proxy.config.errors import ConfigError, ConfigErrors
    from proxy.config.load import Loaded, compile_document, load_file, load_text, read_text

__all__ = [
    "ConfigDifference",
    "ConfigError",
    "ConfigErrors",
    "Loaded",
    "add_rule",
    "compile_document",
    "compile_in_slices",
    "compile_values",
    "load_file",
    "load_text",
    "read_text",
    "set_weight",
]

_MODULES = {
    "ConfigDifference": "difference",
    "ConfigError": "errors",
    "ConfigErrors": "errors",
    "Loaded": "load",
    "add_rule": "edit_rules",
    "compile_document": "load",
    "compile_in_slices": "compile",
    "compile_values": "compile",
    "load_file": "load",
    "load_text": "load",
    "read_text": "load",
    "set_weight": "edit",
}
"""Where each of them is."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"proxy.config.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
