"""Defines what a secret is, by its name and by its format, wherever it appears: queries, bodies, headers,
settings.

Names are matched by whole words, so `access_token` is a secret, but `author`, `keyword` and `sort_key` are
not. Everything here reads its text only once, whatever it consists of, because senders of requests choose
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_plus

Hide = Callable[[str], str]

_WORDS: Final = frozenset(
    """
    assertion auth authentication authorization bearer cookie cookies credential credentials csrf cvc cvv hmac
    jsessionid jwt oauth otp passcode passphrase passwd passwort password passwords phpsessid pin pwd
    samlrequest samlresponse secret secrets session sessionid sid sig signature token tokens totp xsrf
    """.split()  # noqa: SIM905
)
_ENDS: Final = tuple(
    "token tokens password passwd passphrase secret apikey credential credentials signature jwt".split()  # noqa: SIM905
)
_KEYS: Final = frozenset(  # what stands before "key"
    """
    access account api auth encryption idempotency license master private secret session shared signing ssh
    subscription
    """.split()  # noqa: SIM905
)
_KEYS_JOINED: Final = frozenset(each + "key" for each in _KEYS)
_ABOUT: Final = frozenset(  # what a last word makes no secret of: `token_type`
    "at count enabled expires expiry length limit policy required ttl type".split()  # noqa: SIM905
)
_ALONE: Final = frozenset({"key", "code", "authcode"})  # in a query: of an API, of a login

_word: Final = re.compile(r"([A-Z]*+)([a-z]*+)").findall
_parameter: Final = re.compile(r"(^|[?&;#])([^=&;#?\s\"'<>]*+)(?:=([^&#\s\"'<>]++))?").sub
_token: Final = re.compile(r"eyJ[\w-]*+(?:\.[\w-]*+)*+", re.ASCII).sub
_key: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
    r"(?:[rsp]k_(?:live|test)_|sk-|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|AKIA|ASIA|AIza|ya29\.|npm_|SG\.)"
    r"[\w.-]*+",
    re.ASCII,
).sub
_hints_key: Final = re.compile(
    r"[rsp]k_(?:live|test)_|sk-|gh[oprsu]_|github_pat_|glpat-|xox|A[KS]IA|AIza|ya29\.|npm_|SG\."
).search
_pem: Final = re.compile(
    r"-----BEGIN (?:[A-Z]{1,20} ){0,3}PRIVATE KEY-----[^-]*+(?:-----END [A-Z ]{0,80}-----)?"
).sub
_digits: Final = re.compile(r"%[0-9A-Fa-f]{2}|[0-9](?:(?:[ +-]|%20)?[0-9])*+").sub
_marks: Final = re.compile(r"[?&;#]").split
_parts: Final = re.compile(r"[ +-]|%20").split
_is_card: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6\d{15,18}", re.ASCII
).fullmatch

_KEY_LENGTH: Final = 20  # characters of an API key, at least; what is shorter is a word
_TOKEN_LENGTH: Final = 20
_CARD: Final = 13  # digits, at least
_CARD_MOST: Final = 19
_NAME: Final = 200  # characters of a name that are looked at, from its end


def is_secret_name(name: str) -> bool:
    """Of a member, a header, a parameter or a setting, in any spelling."""
    return _is_secret_name(name[-_NAME:])


def is_secret_parameter(name: str) -> bool:
    """Of a query: there `key` and `code` alone are secrets as well."""
    name = unquote_plus(unquote_plus(name[-_NAME:])).rpartition("/")[2]
    return _is_secret_name(name) or name.lower() in _ALONE


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    words = _words_of(name)
    if not words or words[-1] in _ABOUT:
        return False
    if any(word in _WORDS or word in _KEYS_JOINED or word.endswith(_ENDS) for word in words):
        return True
    keys = (first for first, second in pairwise(words) if second in ("key", "keys"))
    return not _KEYS.isdisjoint(keys) or "".join(words) in _WORDS


def _words_of(name: str) -> list[str]:
    """`SAMLResponse` and `saml_response` have the same two."""
    words: list[str] = []
    for upper, lower in _word(name):
        if lower and len(upper) > 1:
            words += [upper[:-1].lower(), upper[-1].lower() + lower]
        elif upper or lower:
            words.append(upper.lower() + lower)
    return words


def hide_parameters(text: str, is_secret: Callable[[str], bool], hide: Hide) -> str:
    """A target, an address or a form, without the values of secret parameters."""
    if "=" not in text:
        return text

    def hidden(found: re.Match[str]) -> str:
        mark, name, value = found.groups()
        if value is None:
            return found[0]
        return f"{mark}{name}={hide(value) if is_secret(name) else _within(value, is_secret, hide)}"

    return _parameter(hidden, text)


def _within(value: str, is_secret: Callable[[str], bool], hide: Hide) -> str:
    """`a=b;token=c` and `a=b?token=c` are two parameters for some, and `a=%3Ftoken%3Dc` is an address."""
    start = 0
    for piece in _marks(value):
        name, equals, rest = piece.partition("=")
        if start and equals and rest and is_secret(name):
            rest_at = start + len(name) + 1
            return value[:rest_at] + hide(value[rest_at:])
        start += len(piece) + 1
    decoded = value
    for _ in range(3):
        if "%" not in decoded:
            break
        decoded = unquote_plus(decoded)
        pairs = [piece.partition("=") for piece in _marks(decoded)]
        if any(held and is_secret(name) for name, _, held in pairs):
            return hide(value)
    return value


def hide_shapes(text: str, hide: Hide) -> str:
    """Without JSON Web Tokens, keys of well-known services, private keys and numbers of payment cards."""
    if len(text) < _CARD:
        return text
    if "eyJ" in text:
        text = _token(lambda found: hide(found[0]) if _is_token(found[0]) else found[0], text)
    if _hints_key(text):
        text = _key(lambda found: hide(found[0]) if len(found[0]) >= _KEY_LENGTH else found[0], text)
    if "-----BEGIN " in text:
        text = _pem(lambda found: hide(found[0]), text)
    return _digits(lambda found: _without_cards(found[0], hide), text)


def _is_token(text: str) -> bool:
    return text.count(".") >= 2 and len(text) >= _TOKEN_LENGTH


def _without_cards(run: str, hide: Hide) -> str:
    """A run of digits in groups, such as `4111 1111 1111 1111 123`: a card may be some of the groups."""
    if len(run) < _CARD:  # also an escaped byte, whose digits are no number
        return run
    groups = _parts(run)
    for first in range(len(groups)):
        number = ""
        for group in groups[first : first + _CARD_MOST]:
            number += group
            if len(number) > _CARD_MOST:
                break
            if _is_card(number) and luhn(number):
                return hide(run)
    return run


def luhn(digits: str) -> bool:
    """Whether the check digit of ISO/IEC 7812-1 is right."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
