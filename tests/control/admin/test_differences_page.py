"""The Differences page as HTML: what it says, that it is well-formed, and that what it shows stays text."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.state import State
from proxy.core.comparison.comparisons import Shown
from tests.control.admin import planted
from tests.control.admin.test_differences import NAME, plant
from tests.control.admin.test_pages import Outline
from tests.control.conftest import LOCAL, MakeState

EVIL = "<script>alert(1)</script>\"'&"


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def show(client: TestClient, **query: str) -> str:
    answer = client.get("/differences", params=query)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    Outline(answer.text)
    return answer.text


def test_the_list_has_every_endpoint_with_its_verdict_and_a_way_to_its_fields(state: State) -> None:
    html = show(plant(state))
    text = text_of(html)
    assert "≠ differs 4,321 compared" in text
    assert "compare.sample is 0 for this endpoint" in text
    assert 'href="/differences?endpoint=GET%20/a/%7Bid%7D&amp;path=balance.amount#samples"' in html


def test_an_endpoint_says_how_sure_one_may_be_and_what_was_not_seen(state: State) -> None:
    text = text_of(show(plant(state), endpoint=NAME))
    for words in (
        "37 of 4,321 (0.86 %) comparisons differ in something that is not noise: 1 field.",
        "Any other difference that 0.083 % (1 in 1,205) of them meet would have been found",
        "Clients received 410; compared fewer than 30 times",
        "Fields in fewer than 30 compared answers: nickname (4).",
        "Sampled but not compared: rate (12).",
        "balance.amount 37 of 4,321 (0.86 %)",
        "updated_at 3,100 of 4,321 (72 %)",
        "legacy 1.4.0, async 1.9",
    ):
        assert words in text


def test_without_a_difference_the_bound_is_said_in_words(state: State) -> None:
    snapshot = state.reloader.running.snapshot
    planted.plant(snapshot.server.state, [planted.equal(planted.scope_of(snapshot, NAME))])
    text = text_of(show(TestClient(build(state), base_url=LOCAL), endpoint=NAME))
    assert "= likely equal (< 0.072 %)" in text
    assert "In 5,000 comparisons nothing differed lastingly." in text
    assert "fewer than 0.072 % (1 in 1,394) of such requests meet a difference" in text


def test_samples_stand_side_by_side_with_the_request_as_a_curl_line(state: State) -> None:
    html = show(plant(state), endpoint=NAME, path=planted.FAULT)
    server = state.reloader.started.server
    assert f"curl -i 'http://{server.listen}/a/acc_1?expand=owner'\"'\"'s' -H" in unescape(html)
    assert "authorization: redacted:5f1c" in unescape(html)
    assert "<mark>&#34;1250.10&#34;</mark>" in html
    assert "<mark>&#34;1250.1&#34;</mark>" in html
    assert html.count('<article class="sample"') == 3


def test_noise_in_a_sample_is_called_noise_unless_it_is_what_one_looks_at(state: State) -> None:
    client = plant(state)
    html = show(client, endpoint=NAME, path=planted.FAULT)
    rows = re.findall(r'<th scope="row"><code>([^<]*)</code>( noise)?</th><td class="left">', html)
    assert rows[:2] == [(planted.FAULT, ""), ("updated_at", " noise")]
    assert html.count("<mark>") == 2 * 3
    assert show(client, endpoint=NAME, path="updated_at").count("<mark>") == 4 * 3


def test_with_a_token_samples_are_not_in_the_page(make_state: MakeState) -> None:
    html = show(plant(make_state(token="s3cret")), endpoint=NAME, path=planted.FAULT)
    assert "1250.1" not in html
    assert 'data-load="1"' in html


def test_other_versions_are_shown_as_what_they_are(state: State) -> None:
    client = plant(state)
    older = planted.scope_of(state.reloader.running.snapshot, NAME, "1.9").id
    text = text_of(show(client, endpoint=NAME, scope=older))
    assert "evidence is for other versions or rules than those in use" in text
    assert "= likely equal" in text


def test_a_form_is_filled_from_the_address(client: TestClient) -> None:
    html = show(client, method="HEAD", target=f"/a?{EVIL}")
    assert "<option selected>HEAD</option>" in html
    assert "<script>alert" not in html


def test_differences_can_be_accepted_only_where_the_configuration_says_so(make_state: MakeState) -> None:
    plant(make_state())
    for write, expected in (("false", 0), ("true", 1)):
        html = show(TestClient(build(make_state(write=write)), base_url=LOCAL), endpoint=NAME)
        assert (html.count("<dialog"), html.count('class="accept"')) == (expected, expected)


@pytest.mark.parametrize(
    ("query", "status"), [({"endpoint": "GET /no"}, 404), ({"endpoint": NAME, "scope": "0"}, 404)]
)
def test_what_is_not_there_is_said_on_the_page(
    client: TestClient, query: dict[str, str], status: int
) -> None:
    answer = client.get("/differences", params=query)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text


def test_whatever_backends_and_clients_sent_stays_text_and_small(state: State) -> None:
    snapshot = state.reloader.running.snapshot
    scope = planted.scope_of(snapshot, NAME, EVIL)
    path = f"[{EVIL}]"
    sample = planted.sample(scope, 1, f"/a/{EVIL}\x1b[31m")
    shown = Shown(path, "value", EVIL * 100, None, (EVIL,))
    legacy = sample.legacy._replace(body=EVIL * 10_000)
    sample = sample._replace(legacy=legacy, headers=((EVIL, EVIL),), differences=(shown,) * 900)
    found = planted.differing(scope)
    tally = found._replace(
        paths=tuple(each._replace(mark=each.mark._replace(path=path)) for each in found.paths[:1])
    )
    planted.plant(snapshot.server.state, [tally], (), [sample])
    html = show(TestClient(build(state), base_url=LOCAL), endpoint=NAME, path=path)
    assert "and 850 more" in html
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert len(html) < 100_000


def test_scripts_and_styles_come_from_files_of_our_own_only(state: State) -> None:
    client = plant(state)
    html = show(client, endpoint=NAME, path=planted.FAULT)
    assert "style=" not in html
    assert re.findall(r"<script[^>]*>", html) == [
        f'<script src="/static/{name}.js" defer>' for name in ("session", "differences")
    ]
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', unescape(html)):
        assert client.get(path).status_code == 200


def test_the_status_page_shows_the_verdict_beside_the_weight(state: State) -> None:
    client = plant(state)
    client.get("/api/v1/endpoints")  # the page itself does not wait for the store
    html = client.get("/").text
    assert "Answers: ≠ differs 4,321 compared" in text_of(html)
    assert 'href="/differences?endpoint=GET%20/a/%7Bid%7D"' in html
