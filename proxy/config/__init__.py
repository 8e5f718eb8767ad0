"""From the text of a routing.yaml to a compiled snapshot, or to everything that is wrong with it."""

from proxy.config.compile import compile_in_slices
from proxy.config.difference import ConfigDifference, difference
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
    "difference",
    "load_file",
    "load_text",
    "read_text",
    "set_weight",
]
