"""The body of a request in a HAR file, byte for byte as it was sent, or why that is not known.

A HAR file holds text. Exporters write bodies as base64 (`encoding`, not in the standard and yet common), as
text in UTF-8 or with a character for each byte, as the fields of a form, with the header lines before it
(Firefox), without the files of a form (Chrome), or not at all. The recorded Content-Length tells which.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import Any, Final
from urllib.parse import quote_plus

Encode = Callable[[str], bytes]

NOT_THERE: Final = "its body is not in the file"
NOT_WHOLE: Final = "its body is not in the file as it was sent"

_fields_before: Final = re.compile(r"(?:[!#-'*+\-.^_`|~0-9A-Za-z]+:[^\r\n]*\r\n)+\r\n").match
_length_among: Final = re.compile(r"(?im)^content-length: *(\d{1,15})\r$").search


class NoBody(Exception):
    """Why the request cannot be repeated."""


def body_of(data: Any, fields: Mapping[str, bytes], encode: Encode) -> tuple[bytes, bytes]:
    """The body with its media type, b"" if unknown. `fields` are the recorded headers. Raises NoBody.

    Raises ValueError, TypeError or AttributeError for what a HAR file does not have there.
    """
    length = _length(fields.get("content-length"))
    if not data:
        if length or "transfer-encoding" in fields:
            raise NoBody(NOT_THERE)
        return b"", b""
    type_ = encode(data.get("mimeType") or "")
    if any(char in type_ for char in b"\r\n\x00"):
        raise ValueError("there is a line break in its mimeType")
    known = fields.get("content-type", type_).decode("latin-1")
    text, encoding = data.get("text"), data.get("encoding")
    if text and length is None and (before := _fields_before(text)) and (said := _length_among(before[0])):
        length = int(said[1])
    if length is None and "content-encoding" in fields:
        raise NoBody(NOT_WHOLE)  # most exporters undo it
    candidates = [*_candidates(data, text, encoding, known, encode)]
    if length is None and candidates and not (text and not encoding and "\ufffd" in text):
        return candidates[0], type_ if candidates[0] else b""
    for body in candidates:
        if len(body) == length:
            return body, type_ if body else b""
    raise NoBody(NOT_WHOLE if text else NOT_THERE)


def _length(value: bytes | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(rb"[0-9]{1,15}", value) else None


def _candidates(
    data: Any, text: str | None, encoding: str | None, type_: str, encode: Encode
) -> Iterator[bytes]:
    """What it may have been, the likeliest first."""
    if text:
        if encoding and encoding.lower() == "base64":
            try:
                yield base64.b64decode("".join(text.split()), validate=True)
            except binascii.Error:
                raise ValueError("its body is not base64, though it says so") from None
        elif encoding:
            raise NoBody(f"its body is in the encoding {encoding[:20]!r}")
        else:
            yield from _of_text(text, type_, encode)
    elif data.get("params"):
        yield from _of_form(data["params"], type_, encode)
    elif text == "" or not (set(data) - {"mimeType", "text", "params", "comment", "encoding"}):
        yield b""


def _of_text(text: str, type_: str, encode: Encode) -> Iterator[bytes]:
    charset = _parameter(type_, "charset") or "utf-8"
    before = _fields_before(text)
    for each in (text, text[before.end() :]) if before else (text,):
        for name in (charset, "utf-8", "latin-1"):
            try:
                yield encode(each) if name.lower() in ("utf-8", "utf8") else each.encode(name)
            except (UnicodeEncodeError, LookupError):
                continue


def _of_form(params: Any, type_: str, encode: Encode) -> Iterator[bytes]:
    fields = [(each["name"], each.get("value"), each) for each in params]
    essence = type_.partition(";")[0].strip().lower()
    if any(value is None for _, value, _ in fields):
        return  # a file of which only the name was recorded
    if essence == "application/x-www-form-urlencoded":
        yield b"&".join(_quoted(name, encode) + b"=" + _quoted(value, encode) for name, value, _ in fields)
        yield b"&".join(encode(name) + b"=" + encode(value) for name, value, _ in fields)
    elif essence == "multipart/form-data" and (boundary := _parameter(type_, "boundary")):
        mark = b"--" + encode(boundary)
        parts = (mark + b"\r\n" + _part(name, value, each, encode) for name, value, each in fields)
        yield b"".join(parts) + mark + b"--\r\n"


def _part(name: str, value: str, each: Mapping[str, Any], encode: Encode) -> bytes:
    file = f'; filename="{each["fileName"]}"' if each.get("fileName") else ""
    type_ = f"Content-Type: {each['contentType']}\r\n" if each.get("contentType") else ""
    return encode(f'Content-Disposition: form-data; name="{name}"{file}\r\n{type_}\r\n{value}\r\n')


def _quoted(text: str, encode: Encode) -> bytes:
    return quote_plus(encode(text)).encode()


def _parameter(type_: str, name: str) -> str | None:
    message = Message()
    message["content-type"] = type_.replace("\r", "").replace("\n", "")
    value = message.get_param(name)
    return value if isinstance(value, str) else None
