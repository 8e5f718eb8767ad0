"""Removes secrets from a comparison before it is kept.

A value is replaced by a keyed hash of it, so that one can still see whether two values were equal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_plus

from proxy.core.comparison.differences import Difference
from proxy.core.documents.exactjson import Json, text_of
from proxy.core.documents.fieldpaths import HEADER, STATUS, Pattern, Steps, parse_pattern, path_text
from proxy.core.privacy.erasure import spellings_of
from proxy.core.privacy.sensitive import hide_parameters, hide_shapes, is_secret_name, is_secret_parameter

KEY_NAME: Final = "redaction.key"
"""The file of a `Redactor`'s key, in `server.runtime_dir`."""
KEY_BYTES: Final = 32
QUERY: Final = "query:"
MIN_SECRET: Final = 6  # characters; what is shorter would be found everywhere
MAX_SECRETS: Final = 500  # of one request that are searched for in each text


def parse_redact(text: str) -> str:
    """An entry of `compare.redact`: a path of `proxy.core.documents.fieldpaths`, or `query:NAME`.

    Raises ValueError.
    """
    if text.startswith(QUERY):
        if not text.removeprefix(QUERY):
            raise ValueError("is not a query parameter")
        return text
    if text == STATUS:
        raise ValueError("is always compared and cannot be redacted")
    try:
        return parse_pattern(text).text
    except ValueError as error:
        raise ValueError(f"{error}, or query:NAME") from None


def secrets_of(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The credentials in a request's header lines, longest first: they are hidden wherever they turn up."""
    found: set[str] = set()
    for name, value in headers:
        if is_secret_name(name):
            parts = re.split(r"[\s;,]+", value)
            found.update((value, *parts, *(part.partition("=")[2] for part in parts)))
    return tuple(sorted((each for each in found if len(each) >= MIN_SECRET), key=len, reverse=True))


class Redactor:
    """`key` is random and stays on this machine; `entries` are of `compare.redact`.

    With more than MAX_SECRETS it is `overwhelmed`, and hides every text as a whole.
    """

    def __init__(self, key: bytes, entries: Sequence[str], secrets: Sequence[str] = ()) -> None:
        self._key = key
        self._queries = {entry.removeprefix(QUERY) for entry in entries if entry.startswith(QUERY)}
        self._patterns = [parse_pattern(entry) for entry in entries if not entry.startswith(QUERY)]
        self.overwhelmed = len(secrets) > MAX_SECRETS
        self._secrets = secrets

    @property
    def hides_fields(self) -> bool:
        """Whether something in bodies is hidden: then a body that is not JSON is not kept at all."""
        return any(pattern.steps is not None for pattern in self._patterns)

    def digest(self, value: str) -> str:
        """What stands in the place of a value: "redacted:" and 12 hex digits."""
        data = value.encode("utf-8", "surrogatepass")
        return f"redacted:{hashlib.blake2b(data, key=self._key, digest_size=6).hexdigest()}"

    def json(self, value: Json, steps: Steps = ()) -> Json:
        """A value that is at `steps` of a body, without what is hidden in it."""
        named = any(isinstance(step, str) and is_secret_name(step) for step in steps)
        return self._json(value, steps, named)

    def _json(self, value: Json, steps: Steps, named: bool) -> Json:
        """`named`: it is below a member whose name says that it is a secret."""
        if self._hides(steps):
            return self.digest(text_of(value))
        if isinstance(value, dict):
            return {
                self.text(name): self._json(item, (*steps, name), named or is_secret_name(name))
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._json(item, (*steps, position), named) for position, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        if named:
            return self.digest(text_of(value))
        if isinstance(value, str):
            return self.text(value)
        written = text_of(value)
        return value if hide_shapes(written, self.digest) == written else self.digest(written)

    def difference(self, found: Difference) -> Difference:
        """Cut off at what is hidden, so that the names below it are hidden as well."""
        legacy, async_ = found.legacy, found.async_
        if found.path == STATUS:
            return found
        if found.path.startswith(HEADER):
            name = found.path.removeprefix(HEADER)
            return found._replace(legacy=self._field(name, legacy), async_=self._field(name, async_))
        if found.kind in ("text", "binary") and self.hides_fields:
            return found._replace(legacy=self.digest(text_of(legacy)), async_=self.digest(text_of(async_)))
        for length in range(len(found.steps)):
            if self._hides(found.steps[:length]):
                place = found.steps[:length]
                ours, theirs = self.digest(text_of(legacy)), self.digest(text_of(async_))
                return Difference(path_text(place), "value", ours, theirs, place)
        return found._replace(
            path=self.text(found.path),
            legacy=None if found.kind == "only async" else self.json(legacy, found.steps),
            async_=None if found.kind == "only legacy" else self.json(async_, found.steps),
        )

    def header(self, name: str, value: str) -> str:
        """The value of a header line."""
        name = name.lower()
        if is_secret_name(name) or any(each.text == HEADER + name for each in self._patterns):
            return self.digest(value)
        return self.text(value)

    def text(self, value: str) -> str:
        """Any text, such as a target, without credentials in it: those of the request, of queries and forms,
        and what has the shape of one."""
        if self.overwhelmed:
            return self.digest(value)
        for secret in self._secrets:
            if secret in value:
                value = value.replace(secret, self.digest(secret))
        return hide_shapes(hide_parameters(value, self._is_secret_parameter, self.digest), self.digest)

    def _field(self, name: str, value: Json) -> Json:
        return self.header(name, value) if isinstance(value, str) else value

    def _is_secret_parameter(self, name: str) -> bool:
        return name in self._queries or unquote_plus(name) in self._queries or is_secret_parameter(name)

    def _hides(self, steps: Steps) -> bool:
        return any(
            _in_body(pattern) and pattern.covers(path_text(steps), steps) for pattern in self._patterns
        )


def _in_body(pattern: Pattern) -> bool:
    return pattern.steps is not None


def digests_of(name: str, key: bytes) -> tuple[str, ...]:
    """What a `Redactor` with this key puts in the place of a person's name or token."""
    redactor = Redactor(key, ())
    return tuple(redactor.digest(spelling) for spelling in spellings_of(name))
