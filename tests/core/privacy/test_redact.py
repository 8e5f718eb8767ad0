from __future__ import annotations

import pytest

from proxy.core.comparison.differences import Difference, walk
from proxy.core.documents.exactjson import parse, text_of
from proxy.core.privacy.redact import Redactor, parse_redact, secrets_of

KEY = b"k" * 32


def redactor(*entries: str, secrets: tuple[str, ...] = ()) -> Redactor:
    return Redactor(KEY, [parse_redact(entry) for entry in entries], secrets)


def test_equal_values_stay_equal_and_others_differ_and_the_key_decides() -> None:
    one = redactor()
    assert one.digest("a") == one.digest("a") != one.digest("b")
    assert one.digest("a") != Redactor(b"other", []).digest("a")
    assert one.digest("a").startswith("redacted:")


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Set-Cookie",
        "x-api-key",
        "X-Auth-Token",
        "x-session-id",
    ],
)
def test_credentials_in_headers_are_always_hidden(name: str) -> None:
    assert "hunter2" not in redactor().header(name, "hunter2")


def test_other_headers_stay_unless_configured() -> None:
    assert redactor().header("Accept", "text/html") == "text/html"
    assert "ada" not in redactor("header:X-User").header("x-user", "ada")


def test_credentials_in_queries_are_hidden_and_other_parameters_stay() -> None:
    hidden = redactor("query:account").text("/a?access_token=hunter2&limit=5&account=acc_1#x")
    assert "hunter2" not in hidden
    assert "acc_1" not in hidden
    assert hidden.startswith("/a?access_token=redacted:")
    assert "&limit=5&" in hidden


def test_what_the_request_authenticated_with_is_hidden_wherever_it_turns_up() -> None:
    headers = [("Authorization", "Bearer hunter2hunter2"), ("Cookie", "sid=s3cr3ts3cr3t; theme=dark-mode")]
    found = redactor(secrets=secrets_of(headers))
    text = text_of(found.json({"echo": "Bearer hunter2hunter2!", "s3cr3ts3cr3t": ["s3cr3ts3cr3t"]}))
    assert "hunter2" not in text
    assert "s3cr3t" not in text
    assert "hunter2" not in found.text("/reset/hunter2hunter2")


def test_configured_fields_are_hidden_with_all_below_and_the_rest_stays() -> None:
    body = parse(b'{"items": [{"iban": {"no": "DE1"}, "n": 1.50}], "note": "x"}')
    hidden = redactor("items[].iban").json(body)
    digest = redactor().digest('{"no":"DE1"}')
    assert text_of(hidden) == f'{{"items":[{{"iban":"{digest}","n":1.50}}],"note":"x"}}'


def differences(legacy: bytes, async_: bytes, *entries: str) -> list[Difference]:
    return [redactor(*entries).difference(each) for each in walk(parse(legacy), parse(async_))]


def test_a_difference_of_what_is_hidden_still_shows_as_one() -> None:
    (found,) = differences(b'{"iban": "DE1"}', b'{"iban": "DE2"}', "iban")
    assert (found.path, found.kind, found.legacy != found.async_) == ("iban", "value", True)
    assert "DE" not in str(found)


def test_names_below_what_is_hidden_are_hidden_as_well() -> None:
    (found,) = differences(b'{"owners": {"ada": 1}}', b'{"owners": {"ada": 2}}', "owners")
    assert found.path == "owners"
    assert "ada" not in str(found)


def test_what_is_hidden_within_a_value_that_one_side_lacks_is_hidden() -> None:
    (found,) = differences(b'{"owner": {"iban": "DE1", "id": 7}}', b"{}", "owner.iban")
    assert (found.path, found.async_) == ("owner", None)
    assert "DE1" not in str(found)
    assert "7" in text_of(found.legacy)


def test_where_fields_are_hidden_a_text_can_not_be_shown() -> None:
    found = Difference("$", "text", "iban DE1", "iban DE2")
    assert redactor().difference(found) == found
    assert "DE" not in str(redactor("iban").difference(found))


def test_headers_that_differ_are_redacted_like_any_header() -> None:
    found = Difference("header:set-cookie", "only legacy", "sid=hunter2", None)
    hidden = redactor().difference(found)
    assert (hidden.path, hidden.async_) == ("header:set-cookie", None)
    assert "hunter2" not in str(hidden)


def test_members_named_like_secrets_are_hidden_by_default_and_their_places_stay() -> None:
    body = (
        b'{"access_token": "hunter2", "user": {"password": 12345, "author": "ada"}, '
        b'"session": {"id": "hunter2", "on": true}}'
    )
    shown = text_of(redactor().json(parse(body)))
    assert "hunter2" not in shown
    assert "12345" not in shown
    assert '"author":"ada"' in shown
    assert '"on":true' in shown
    assert parse(shown.encode()).keys() == {"access_token", "user", "session"}  # type: ignore[union-attr]


@pytest.mark.parametrize("secret", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "4111111111111111"])
def test_what_has_the_shape_of_a_secret_is_hidden_under_any_name(secret: str) -> None:
    found = redactor()
    assert secret not in text_of(found.json({"note": f"see {secret}", "list": [secret]}))
    assert secret not in found.text(f"plain text, {secret}")
    assert secret not in found.header("x-note", secret)
    if secret.isdigit():
        assert secret not in text_of(found.json({"number": int(secret)}))


def test_a_difference_in_a_secret_member_still_shows_as_one() -> None:
    (found,) = differences(b'{"password": "hunter2"}', b'{"password": "hunter3"}')
    assert (found.path, found.legacy != found.async_) == ("password", True)
    assert "hunter" not in str(found)


def test_a_form_is_redacted_from_its_first_field_on() -> None:
    assert "hunter2" not in redactor().text("password=hunter2&author=ada")
    assert redactor().text("author=ada&keyword=x") == "author=ada&keyword=x"
