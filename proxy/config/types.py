"""The kinds of values in routing.yaml. Each error is a phrase that follows the value: "x is not ..."."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

from pydantic import PlainValidator

from proxy.config.methods import COMMON_METHODS, METHODS
from proxy.config.urls import parse_listen, parse_state, parse_url
from proxy.core.documents.fieldpaths import parse_pattern
from proxy.core.privacy.redact import parse_redact
from proxy.core.routing.buckets import MAX_SALT

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 section 5.6.2
_MEDIA_RANGE: Final = re.compile(
    r"(?:[A-Za-z0-9!#$&^_.+-]+/(?:\*|[A-Za-z0-9!#$&^_.+-]+)|\*\+[A-Za-z0-9!#$&^_.-]+)"
).fullmatch
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)").fullmatch
_SIZE: Final = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)").fullmatch
_USER_NAME: Final = re.compile(r"[^()\s](?:[^()]{0,62}[^()\s])?").fullmatch
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WRITTEN: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "via"})
_LONGEST: Final = 366 * 24 * 3600.0
_LARGEST: Final = 2**40


class Unit(NamedTuple):
    """What a parsed number counts, as it is written behind it. Stands in the type of a setting."""

    suffix: str


SECONDS: Final = Unit("s")
BYTES: Final = Unit(" bytes")
BYTES_PER_SECOND: Final = Unit(" bytes per second")


def whole(low: int, high: int, *words: str) -> Callable[[Any], Any]:
    """A whole number in a range, or one of `words`."""
    allowed = f"is not a whole number from {low} to {high}" + "".join(f" or {word}" for word in words)

    def parse(value: Any) -> int | str:
        if value in words and isinstance(value, str):
            return value
        if type(value) is not int or not low <= value <= high:
            raise ValueError(allowed)
        return value

    return parse


def choice(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        value = str(value) if type(value) is int else value  # "404", quoted or not
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"is not {' or '.join(words)}")
        return value

    return parse


def parse_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def flag_or(word: str) -> Callable[[Any], bool | str]:
    def parse(value: Any) -> bool | str:
        if not isinstance(value, bool) and not (isinstance(value, str) and value == word):
            raise ValueError(f"is not {word}, true or false")
        return value

    return parse


def parse_text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("is not text (put it in quotes)")
    return value


def parse_duration(value: Any) -> float:
    found = _DURATION(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a duration such as 250ms, 10s, 5m or 24h")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if not 0.001 <= seconds <= _LONGEST:
        raise ValueError("is not a duration from 1ms to 8784h")
    return seconds


def lasting(shortest: float) -> Callable[[Any], float]:
    """A duration of at least so many seconds."""

    def parse(value: Any) -> float:
        seconds = parse_duration(value)
        if seconds < shortest:
            raise ValueError(f"is not a duration from {shortest:g}s to 8784h")
        return seconds

    return parse


def lasting_or_never(shortest: float) -> Callable[[Any], float]:
    """As `lasting`, or 0."""

    def parse(value: Any) -> float:
        if (type(value) is int and value == 0) or value in ("0", "0s"):
            return 0.0
        try:
            return lasting(shortest)(value)
        except ValueError:
            raise ValueError(f"is not 0 (never) or a duration from {shortest:g}s to 8784h") from None

    return parse


def parse_size(value: Any) -> int:
    if type(value) is int and 0 <= value <= _LARGEST:
        return value
    found = _SIZE(value) if isinstance(value, str) else None
    size = int(found[1]) * _BYTES[found[2]] if found else -1
    if not 0 <= size <= _LARGEST:
        raise ValueError("is not a size such as 0, 64KiB or 1MiB")
    return size


def sized(low: int, high: int) -> Callable[[Any], int]:
    """A size within bounds, in bytes."""

    def parse(value: Any) -> int:
        size = parse_size(value)
        if not low <= size <= high:
            raise ValueError(f"is not a size from {low}B to {high // 1024}KiB")
        return size

    return parse


def parse_share(value: Any) -> float:
    """A percentage as a ratio."""
    number = value[:-1] if isinstance(value, str) and value.endswith("%") else ""
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,6})?", number) or float(number) > 100:
        raise ValueError("is not a percentage from 0% to 100%")
    return float(number) / 100


def parse_parity(value: Any) -> float:
    """A bound that samples can come down to."""
    share = parse_share(value)
    if not 0.0001 <= share <= 0.5:
        raise ValueError("is not a percentage from 0.01% to 50%")
    return share


def parse_ratio(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise ValueError("is not a number above 0 and at most 1")
    return float(value)


def parse_rate(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1_000_000:
        raise ValueError("is not a number from 0 to 1000000")
    return float(value)


def parse_weight(value: Any) -> int:
    """Percent to hundredths of a percent."""
    if type(value) not in (int, float):
        raise ValueError("is not a number from 0 to 100, in steps of 0.01")
    if not 0 <= value <= 100:
        raise ValueError("is not between 0 and 100")
    hundredths = Decimal(str(value)) * 100
    if hundredths != int(hundredths):
        raise ValueError("has more than two decimal places")
    return int(hundredths)


def parse_path(value: Any) -> str:
    """A file's path, or a word in its place."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("is not a path")
    return value


def parse_target(value: Any) -> str:
    if value != "" and not (isinstance(value, str) and re.fullmatch(r"/[!-~]*", value)):
        raise ValueError("is not a path that begins with /")
    return str(value)


def parse_host(value: Any) -> str:
    """A fixed Host for a backend, or "preserve"."""
    if not isinstance(value, str) or not re.fullmatch(
        r"[A-Za-z0-9.\-_]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?", value
    ):
        raise ValueError("is not preserve, a host name or host:port")
    return value


def parse_network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(parse_text(value)))
    except ValueError as error:
        hint = " (bits are set beyond the prefix)" if "host bits" in str(error) else ""
        raise ValueError(f"is not a network such as 10.0.0.0/8 or an address{hint}") from None


def parse_token(value: Any) -> str:
    """A header or cookie name."""
    if not isinstance(value, str) or not _TOKEN(value) or len(value) > 100:
        raise ValueError("is not a name of letters, digits and -_.")
    return value


def parse_media_range(value: Any) -> str:
    """text/html, text/*, *+json; in lower case."""
    if not isinstance(value, str) or _MEDIA_RANGE(value) is None:
        raise ValueError("is not a media type such as text/html, text/* or *+json")
    return value.lower()


def parse_secret(value: Any) -> str:
    if not isinstance(value, str) or not all(" " < char <= "~" for char in value):
        raise ValueError("is not text of visible ASCII characters")
    return value


def parse_user_name(value: Any) -> str:
    """Parentheses are for what is said about a user."""
    if not isinstance(value, str) or not _USER_NAME(value) or not value.isprintable():
        raise ValueError("is not a name of 1 to 64 printable characters without ( and )")
    return value


def parse_salt(value: Any) -> str:
    if len(parse_text(value).encode()) > MAX_SALT:
        raise ValueError(f"is longer than {MAX_SALT} bytes")
    return str(value)


def parse_key_source(value: Any) -> str:
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value in ("bearer", "client-ip"):
        return str(value)
    if kind not in ("header", "cookie", "path", "jwt") or not name:
        raise ValueError("is not header:NAME, bearer, cookie:NAME, path:PARAM, jwt:CLAIM or client-ip")
    if kind in ("header", "cookie") and not _TOKEN(name):
        raise ValueError(f"is not a valid {kind} name")
    if not name.isprintable():
        raise ValueError(f"is not a valid {kind} name")
    return f"header:{name.lower()}" if kind == "header" else str(value)


def parse_principal(value: Any) -> str:
    """What tells callers apart: the same in both tries of one caller, and never in those of two."""
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value == "credential" or (kind == "jwt" and name.isprintable() and name):
        return str(value)
    if kind in ("header", "cookie") and _TOKEN(name):
        return f"header:{name.lower()}" if kind == "header" else str(value)
    if value == "client-ip":
        reason = "an address may change between two attempts, and many clients may share it"
    elif kind == "path":
        reason = "it identifies what is requested, not the caller, so all callers would share their keys"
    else:
        raise ValueError("is not credential, jwt:CLAIM, header:NAME or cookie:NAME")
    raise ValueError(
        f"cannot identify a caller: {reason}; use credential, jwt:CLAIM, header:NAME or cookie:NAME"
    )


def parse_method(value: Any) -> str:
    if not isinstance(value, str) or value not in METHODS:
        raise ValueError(f"is not a method in capitals: {', '.join(COMMON_METHODS)} or one of WebDAV")
    return value


def parse_header_line(value: Any) -> str:
    name, colon, content = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not _TOKEN(name) or not content.isprintable():
        raise ValueError("is not a header such as 'x-dry-run: 1'")
    return f"{name.lower()}: {content.strip()}"


def parse_health_host(value: Any) -> str:
    """A Host, or "" for that of the address."""
    return "" if value == "" else parse_host(value)


def parse_health_header(value: Any) -> str:
    line = parse_header_line(value)
    if line.partition(":")[0] in _WRITTEN:
        raise ValueError("is set by the health check itself (use health.host for Host)")
    return line


def parse_field_path(value: Any) -> str:
    """A place in an answer, by `proxy.core.documents.fieldpaths`."""
    return parse_pattern(parse_text(value)).text


def parse_redacted(value: Any) -> str:
    """What is hidden of a comparison before it is kept, by `proxy.core.privacy.redact`."""
    return parse_redact(parse_text(value))


def parse_within(value: Any) -> str:
    """A number as written, or a duration as "2.5s"."""
    if isinstance(value, str):
        return f"{parse_duration(value):g}s"
    if type(value) not in (int, float) or not 0 <= value <= 10**15:
        raise ValueError("is not a number of 0 or more, or a duration such as 2s")
    return str(Decimal(str(value)))


def parse_scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("is not text, a number, true, false or null")
    return value


def parse_date(value: Any) -> str:
    if not isinstance(value, str) or not _DATE(value):
        raise ValueError("is not a date such as 2030-01-31")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("is not a day that exists") from None


Flag = Annotated[bool, PlainValidator(parse_flag)]
Text = Annotated[str, PlainValidator(parse_text)]
Duration = Annotated[float, PlainValidator(parse_duration), SECONDS]
Size = Annotated[int, PlainValidator(parse_size), BYTES]
ByteRate = Annotated[int, PlainValidator(parse_size), BYTES_PER_SECOND]
Share = Annotated[float, PlainValidator(parse_share)]
Parity = Annotated[float, PlainValidator(parse_parity)]
Ratio = Annotated[float, PlainValidator(parse_ratio)]
Rate = Annotated[float, PlainValidator(parse_rate)]
Weight = Annotated[int, PlainValidator(parse_weight)]
Network = Annotated[str, PlainValidator(parse_network)]
FilePath = Annotated[str, PlainValidator(parse_path)]
TargetOrNothing = Annotated[str, PlainValidator(parse_target)]
Host = Annotated[str, PlainValidator(parse_host)]
Token = Annotated[str, PlainValidator(parse_token)]
MediaRange = Annotated[str, PlainValidator(parse_media_range)]
Secret = Annotated[str, PlainValidator(parse_secret)]
UserName = Annotated[str, PlainValidator(parse_user_name)]
Salt = Annotated[str, PlainValidator(parse_salt)]
KeySourceText = Annotated[str, PlainValidator(parse_key_source)]
Principal = Annotated[str, PlainValidator(parse_principal)]
Method = Annotated[str, PlainValidator(parse_method)]
HeaderLine = Annotated[str, PlainValidator(parse_header_line)]
HealthHost = Annotated[str, PlainValidator(parse_health_host)]
HealthHeader = Annotated[str, PlainValidator(parse_health_header)]
Status = Annotated[int, PlainValidator(whole(100, 599))]
Refusal = Annotated[int, PlainValidator(whole(400, 499))]
FieldPath = Annotated[str, PlainValidator(parse_field_path)]
Redacted = Annotated[str, PlainValidator(parse_redacted)]
Within = Annotated[str, PlainValidator(parse_within)]
Scalar = Annotated[Any, PlainValidator(parse_scalar)]
Day = Annotated[str, PlainValidator(parse_date)]
Url = Annotated[str, PlainValidator(parse_url)]
Listen = Annotated[str, PlainValidator(parse_listen)]
State = Annotated[str, PlainValidator(parse_state)]
