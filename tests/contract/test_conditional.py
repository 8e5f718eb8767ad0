"""ETag and If-None-Match: the same on both backends, since clients move between them."""

from __future__ import annotations

import httpx2
import pytest

from tests.contract.fixtures import Ledger, order


def targets(ledger: Ledger) -> list[str]:
    account, payment = ledger.accounts()[0], ledger.merchants[0]["payments"][0]
    return [
        f"/accounts/{account}",
        f"/accounts/{account}/transactions?limit=3",
        f"/payments/{payment}",
        f"/payments?account_id={account}&limit=3",
        "/payments?limit=2",
    ]


def test_both_backends_give_the_same_content_the_same_tag(
    legacy: httpx2.Client, async_: httpx2.Client, ledger: Ledger
) -> None:
    odd = async_.post("/accounts", json={"name": 'Žofie "東京" \\ 😀 </b>', "currency": "EUR"})
    for target in [*targets(ledger), odd.headers["location"]]:
        old, new = legacy.get(target), async_.get(target)
        assert old.json() == new.json()
        assert old.headers["etag"] == new.headers["etag"]
        assert old.headers["etag"].startswith('W/"')  # their bytes differ
        assert old.headers["cache-control"] == new.headers["cache-control"] == "private, no-cache"


def test_what_the_client_has_is_not_sent_again(api: httpx2.Client, ledger: Ledger) -> None:
    for target in targets(ledger):
        tag = api.get(target).headers["etag"]
        again = api.get(target, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in again.headers


@pytest.mark.parametrize("form", ["{tag}", '"x", {tag}', "{strong}", "*", 'W/"y" ,{tag}'])
def test_every_form_of_if_none_match_is_understood(form: str, api: httpx2.Client, ledger: Ledger) -> None:
    target = targets(ledger)[0]
    tag = api.get(target).headers["etag"]
    asked = form.format(tag=tag, strong=tag.removeprefix("W/"))
    assert api.get(target, headers={"if-none-match": asked}).status_code == 304
    assert api.head(target, headers={"if-none-match": asked}).status_code == 304


@pytest.mark.parametrize("form", ['"x"', 'W/"x", "y"', "", "nonsense", '"{inner}x"', "{inner}"])
def test_another_tag_gets_the_whole_answer(form: str, api: httpx2.Client, ledger: Ledger) -> None:
    target = targets(ledger)[0]
    inner = api.get(target).headers["etag"].removeprefix('W/"').removesuffix('"')
    answer = api.get(target, headers={"if-none-match": form.format(inner=inner)})
    assert answer.status_code == 200
    assert answer.json()["id"] == target.split("/")[2]


def test_a_change_changes_the_tag(api: httpx2.Client, ledger: Ledger) -> None:
    source, destination = ledger.accounts()[:2]
    before = api.get(f"/accounts/{source}")
    assert api.post("/payments", json=order(source, destination, "0.01")).status_code == 201
    after = api.get(f"/accounts/{source}", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]


def test_problems_health_and_writes_have_no_tag(api: httpx2.Client, ledger: Ledger) -> None:
    source, destination = ledger.accounts()[:2]
    answers = [
        api.get("/accounts/00000000-0000-4000-8000-000000000000", headers={"if-none-match": "*"}),
        api.get("/healthz", headers={"if-none-match": "*"}),
        api.post("/payments", json=order(source, destination, "0.01"), headers={"if-none-match": "*"}),
    ]
    assert [answer.status_code for answer in answers] == [404, 200, 201]
    assert not any("etag" in answer.headers for answer in answers)
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
