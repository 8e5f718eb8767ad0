from __future__ import annotations

import pytest

from proxy.core.privacy.sensitive import (
    hide_parameters,
    hide_shapes,
    is_secret_name,
    is_secret_parameter,
    luhn,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def hide(value: str) -> str:
    return "***"


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "accessToken",
        "ACCESS-TOKEN",
        "accesstoken",
        "csrf-token",
        "idToken",
        "tokens",
        "password",
        "userPassword",
        "passwd",
        "user[password]",
        "client_secret",
        "clientSecret",
        "api_key",
        "apiKey",
        "apikey",
        "X-Api-Key",
        "x-amz-signature",
        "X-Amz-Credential",
        "sig",
        "jwt",
        "session_id",
        "sessionId",
        "JSESSIONID",
        "Authorization",
        "Proxy-Authorization",
        "Set-Cookie",
        "X-Auth-Token",
        "id_token_hint",
        "bearer",
        "otp",
        "pin",
        "cvv",
        "assertion",
        "SAMLResponse",
        "private_key",
        "oauth",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert is_secret_parameter(name)


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "authority",
        "authored_by",
        "keyword",
        "zipcode",
        "zip_code",
        "country_code",
        "sort_key",
        "signed",
        "monkey",
        "keys",
        "key_figure",
        "passenger",
        "compass",
        "design",
        "assigned",
        "tokenizer_name",
        "token_type",
        "password_changed_at",
        "spin",
        "opinion",
        "pinned",
        "secretary",
        "cookiecutter",
        "sessions_total",
        "side",
        "broken",
        "x",
        "y",
        "id",
    ],
)
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret_name(name)
    assert not is_secret_parameter(name)


def test_key_and_code_alone_are_secrets_of_a_query_only() -> None:
    assert [is_secret_parameter(name) for name in ("key", "code", "Code")] == [True] * 3
    assert [is_secret_name(name) for name in ("key", "code")] == [False] * 2


@pytest.mark.parametrize(
    "target",
    [
        "/a?token=S3C",
        "/a?x=1&access_token=S3C&y=2",
        "/a?%74oken=S3C",
        "/a?to%6Ben=S3C",
        "/a?%2574oken=S3C",
        "/a?user%5Bpassword%5D=S3C",
        "/a?x=1;token=S3C",
        "/a;jsessionid=S3C",
        "/a;token=S3C;x=1",
        "/a?jwt=S3C",
        "/a?token==S3C",
        "/a?token=S3C=",
        "/a?token=a;S3C",
        "/a?x=b?token=S3C",
        "/cb#access_token=S3C",
        "/login?next=%2Fcb%3Ftoken%3DS3C",
        "/login?next=%252Fcb%253Ftoken%253DS3C",
        "password=S3C&x=1",
    ],
)
def test_secret_parameters_are_hidden_in_every_spelling(target: str) -> None:
    hidden = hide_parameters(target, is_secret_parameter, hide)
    assert "S3C" not in hidden
    assert "***" in hidden


@pytest.mark.parametrize(
    "target",
    [
        "/a?author=ada&keyword=x&sort_key=name&country_code=ch",
        "/a?token=",
        "/a?token",
        "/a?q=a;b&next=%2Fa%3Fx%3D1",
        "/tokens/7?x=1",
    ],
)
def test_other_parameters_stay(target: str) -> None:
    assert hide_parameters(target, is_secret_parameter, hide) == target


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyDaGmWKa4JsXZHjGw7ISLn3namBGewQeaa",
        "xoxb-123456789012-abcdefghijkl",
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "5555555555554444",
        "4111 1111 1111 1111 123",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
    ],
)
@pytest.mark.parametrize("around", ["{}", "say {}!", "/a/{}/b", '{{"x": "{}"}}', "Bearer%20{}", "x={}&y"])
def test_what_has_the_shape_of_a_secret_is_hidden_wherever_it_stands(secret: str, around: str) -> None:
    hidden = hide_shapes(around.format(secret), hide)
    assert secret not in hidden
    assert "***" in hidden


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # not a card by its check digit
        "1700000000000",  # a time in milliseconds
        "0000000000000000",
        "2026-01-31T12:00:00.123Z",
        "task-force-report-of-last-year",
        "eyJ is how they begin",
        "a.b.c",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "sk-learn",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert hide_shapes(text, hide) == text


def test_the_check_digit() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
