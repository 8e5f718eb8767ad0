"""Loads a routing.yaml into a snapshot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.config.compile import compile_model
from proxy.config.errors import ConfigError, ConfigErrors, key_text
from proxy.config.graph import MAX_CHARACTERS, Problem, compose
from proxy.config.model import Config
from proxy.config.plain import values_of
from proxy.config.plans import unused
from proxy.config.validate import validate
from proxy.config.values import Values
from proxy.config.variables import Variables
from proxy.core.privacy.contents import hide, hideable
from proxy.core.routing.phases import Violation, forced, violations
from proxy.core.routing.snapshot import Snapshot

MAX_BYTES: Final = 4 * MAX_CHARACTERS  # UTF-8 takes up to four for one


@dataclass(frozen=True, slots=True)
class Loaded:
    """One accepted file. `document` is what it says, JSON-ready, with its variables filled in, and `values`
    what the schema makes of it; both hold secrets. `violations` break the order of phases; they are not among
    the `warnings`."""

    snapshot: Snapshot
    document: dict[str, Any]
    values: dict[str, Any]
    warnings: tuple[str, ...]
    violations: tuple[Violation, ...]


def load_text(text: str, *, source: str, environ: Mapping[str, str]) -> Loaded:
    """Raises ConfigErrors with everything that is wrong.

    `source` names the text in messages, and paths of files with secrets are relative to its folder.
    """
    try:
        root = compose(text)
    except Problem as problem:
        mark = problem.mark
        error = ConfigError(mark.line + 1, mark.column + 1, "", "", problem.message)
        raise ConfigErrors(source, [error]) from None
    variables = Variables(environ, Path(source).parent)
    values = Values.read(root, variables)
    config, errors = validate(values)
    contents = hideable(variables.contents)
    if config is None:
        raise ConfigErrors(source, [each._replace(message=hide(each.message, contents)) for each in errors])
    snapshot = compile_model(config, contents)
    warnings = [f'{each}; forced: "{each.endpoint.force}"' for each in forced(snapshot)]
    warnings += [_unused(values, name) for name in unused(config)]
    return Loaded(snapshot, values.data or {}, values_of(config), tuple(warnings), violations(snapshot))


def _unused(values: Values, plan: str) -> str:
    path = ("rollouts", plan)
    mark = values.places[path].key
    message = f"no endpoint follows this plan: give one rollout: {plan}, or remove the plan"
    return str(ConfigError(mark.line + 1, mark.column + 1, key_text(path), plan, message))


def load_file(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Loaded:
    """Raises ConfigErrors, also for a file that cannot be read; `environ` is this process's by default."""
    return load_text(
        read_text(path), source=os.fspath(path), environ=os.environ if environ is None else environ
    )


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, line ends kept. Raises ConfigErrors if it cannot be read or is not UTF-8."""
    source = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigErrors(
                source, [ConfigError(0, 0, "", "", f"the file is larger than {MAX_BYTES} bytes")]
            )
        return data.decode("utf-8")
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ConfigErrors(source, [ConfigError(0, 0, "", "", reason)]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        reason = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise ConfigErrors(source, [ConfigError(line, column, "", "", reason)]) from None


def compile_document(document: dict[str, Any]) -> Snapshot:
    """The snapshot of a `Loaded.document`, with the same hash. Raises pydantic.ValidationError for others."""
    return compile_model(Config.model_validate(document))
