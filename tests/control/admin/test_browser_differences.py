"""The Differences page in a real Chromium: from the verdict to the sample, one comparison, accepting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from proxy.config import load_file
from tests.compare.backends import Backend, Reply, backend
from tests.control.admin import planted
from tests.control.site import Site
from tests.support.browsing import until
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser

NAME = "GET /a"
WIDE, PHONE = (1300, 900), (420, 900)


@pytest.fixture(scope="module")
def backends() -> Iterator[tuple[Backend, Backend]]:
    with (
        backend({"/a?x=1": Reply(b'{"x":"<b>1</b>"}')}) as legacy,
        backend({"/a?x=1": Reply(b'{"x":1}')}) as other,
    ):
        yield legacy, other


def serve(directory: Any, backends: tuple[Backend, Backend], server: str = "") -> Iterator[Site]:
    site = Site(directory)
    text = site.text(weight=5).replace("  workers:", f"{server}  workers:")
    for number, each in enumerate(backends, 1):
        text = text.replace(f'http://127.0.0.1:{number}"', f'{each.url}"')
    site.config.write_text(text)
    snapshot = load_file(site.config).snapshot
    scope = planted.scope_of(snapshot, NAME)
    samples = [planted.sample(scope, number) for number in range(2)]
    planted.plant(snapshot.server.state, [planted.differing(scope)], planted.traffic(NAME), samples)
    try:
        site.up()
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]) -> Iterator[Site]:
    yield from serve(tmp_path_factory.mktemp("d"), backends)


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]) -> Iterator[Site]:
    yield from serve(tmp_path_factory.mktemp("g"), backends, "  admin_token: s3cret\n  admin_write: true\n")


def visit(
    browser: webdriver.Chrome, site: Site, path: str, size: tuple[int, int] = WIDE, dark: bool = False
) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # what the test before has left
    browser.get(f"http://127.0.0.1:{site.admin}{path}")


def complaints(browser: webdriver.Chrome) -> list[Any]:
    return [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (PHONE, True)], ids=["wide", "dark phone"])
def test_from_the_weight_to_the_value_that_differs(
    browser: webdriver.Chrome, site: Site, size: tuple[int, int], dark: bool
) -> None:
    visit(browser, site, "/", size, dark)
    link = until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "a.verdict.differs"))
    link.send_keys(Keys.ENTER)
    field = until(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".fields a"))
    assert "37 of 4,321" in browser.find_element(By.CSS_SELECTOR, ".sure").text
    field.send_keys(Keys.ENTER)
    marks = until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".sample mark"))
    assert [each.text for each in marks[:2]] == ['"1250.10"', '"1250.1"']
    assert all(each.is_displayed() for each in marks[:2])
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert complaints(browser) == []
    asked = parse_qs(urlsplit(browser.current_url).query)
    assert asked == {"endpoint": [NAME], "path": [planted.FAULT]}  # all that a colleague needs


def test_one_request_is_compared_and_its_address_can_be_sent(
    browser: webdriver.Chrome, site: Site, backends: tuple[Backend, Backend]
) -> None:
    visit(browser, site, "/differences", PHONE)
    browser.find_element(By.NAME, "headers").send_keys("authorization: Bearer pl4nted\nx-user-id: ada")
    browser.find_element(By.NAME, "target").send_keys("/a?x=1", Keys.ENTER)
    result = until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#one-off-result .differs"))
    assert result.text == "≠ 1 difference"
    values = browser.find_elements(By.CSS_SELECTOR, "#one-off-result .values code")
    assert [each.text for each in values] == ["x", '"<b>1</b>"', "1"]
    assert backends[1].requests[-1][2]["x-user-id"] == "ada"
    address = browser.current_url
    assert "pl4nted" not in address
    browser.get(address)
    assert browser.find_element(By.NAME, "target").get_attribute("value") == "/a?x=1"
    browser.find_element(By.NAME, "target").send_keys(Keys.BACKSPACE * 5, "b", Keys.ENTER)
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#one-off-result .likely-equal"))


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]) -> Iterator[Site]:
    users = "[{name: ada, token: a-token, role: operator}, {name: eve, token: e-token}]"
    server = f"  admin_users: {users}\n  admin_write: true\n"
    yield from serve(tmp_path_factory.mktemp("u"), backends, server)


def test_the_pages_say_who_is_logged_in_and_hide_from_viewers_what_they_may_not_do(
    browser: webdriver.Chrome, shared: Site
) -> None:
    def shown(selector: str) -> bool:
        return browser.find_element(By.CSS_SELECTOR, selector).is_displayed()

    def login(token: str, said: str) -> None:
        field = browser.find_element(By.ID, "token")
        field.clear()
        field.send_keys(token, Keys.TAB)
        until(browser, lambda: browser.find_element(By.ID, "user").text == said)

    visit(browser, shared, "/")
    browser.execute_script("sessionStorage.clear()")
    visit(browser, shared, "/", PHONE)
    assert shown("button.change")
    login("e-token", "eve (viewer)")
    assert not shown("button.change")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    visit(browser, shared, f"/differences?endpoint={NAME}&path={planted.FAULT}")
    until(browser, lambda: browser.find_element(By.ID, "user").text == "eve (viewer)")
    until(browser, lambda: "1250.10" in browser.find_element(By.ID, "samples-list").text)
    assert not any(map(shown, ("button.accept", "#one-off", "button.again")))
    login("a-token", "ada (operator)")
    assert all(map(shown, ("button.accept", "#one-off")))
    visit(browser, shared, "/")
    until(browser, lambda: browser.find_element(By.ID, "user").text == "ada (operator)")
    browser.find_element(By.CSS_SELECTOR, "button.change").send_keys(Keys.ENTER)
    weight = until(browser, lambda: browser.find_element(By.ID, "editor-weight"))
    weight.clear()
    weight.send_keys("60", Keys.ENTER)
    until(browser, lambda: browser.find_element(By.ID, "editor-confirm").is_enabled())
    browser.find_element(By.ID, "editor-confirm").send_keys(Keys.ENTER)
    eventually(lambda: '"author":"ada"' in shared.get("/api/v1/audit").text, "the record names the user")
    browser.find_element(By.CSS_SELECTOR, "#editor [value=cancel]").send_keys(Keys.ENTER)
    browser.find_element(By.ID, "token").clear()
    browser.find_element(By.ID, "token").send_keys("nobody's", Keys.TAB)
    until(browser, lambda: "admin_users" in browser.find_element(By.ID, "user").text)


def test_with_the_token_samples_are_seen_and_a_difference_is_accepted(
    browser: webdriver.Chrome, guarded: Site
) -> None:
    visit(browser, guarded, f"/differences?endpoint={NAME}&path={planted.FAULT}")
    token = browser.find_element(By.ID, "token")
    token.send_keys("wrong", Keys.TAB)
    samples = browser.find_element(By.ID, "samples-list")
    until(
        browser, lambda: "admin_token" in samples.text and "alert" in str(samples.get_attribute("innerHTML"))
    )
    token.clear()
    token.send_keys("s3cret", Keys.TAB)
    until(browser, lambda: "1250.10" in samples.text)

    browser.find_element(By.CSS_SELECTOR, "button.accept").send_keys(Keys.ENTER)
    reason = until(browser, lambda: browser.find_element(By.ID, "accept-reason"))
    assert browser.switch_to.active_element == reason
    reason.send_keys("agreed: trailing zeros", Keys.ENTER)
    output = browser.find_element(By.ID, "accept-output")
    until(browser, lambda: "compare.rules none -> ignore balance.amount" in output.text)
    assert "trailing" not in guarded.config.read_text()
    browser.find_element(By.ID, "accept-confirm").send_keys(Keys.ENTER)
    until(browser, lambda: output.text.startswith("Done"))
    assert '{ignore: balance.amount, reason: "agreed: trailing zeros"}' in guarded.config.read_text()
    browser.find_element(By.CSS_SELECTOR, "#accept [value=cancel]").send_keys(Keys.ENTER)
    until(browser, lambda: "no evidence" in browser.find_element(By.ID, "endpoint").text)
    assert "agreed: trailing zeros" in browser.find_element(By.ID, "main").text
    eventually(
        lambda: "config accepted" in guarded.get("/api/v1/audit").text, "the change is in the audit log"
    )
