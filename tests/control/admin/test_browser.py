"""The status page in a real Chromium (chromium and chromium-driver of Debian).

Where there is none `make test` leaves these tests out, and says so.
"""

from __future__ import annotations

import os
import re
import signal

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.control.site import Site
from tests.support.browsing import until
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser

WIDE, PHONE = (1280, 900), (390, 844)


@pytest.fixture
def writable(site: Site) -> Site:
    text = site.text(weight=25)
    site.config.write_text(text.replace("  workers:", "  admin_write: true\n  workers:"))
    site.up()
    return site


def visit(browser: webdriver.Chrome, site: Site, size: tuple[int, int] = WIDE) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")
    browser.get_log("browser")  # what the test before has left
    browser.get(f"http://127.0.0.1:{site.admin}/")
    until(browser, lambda: browser.find_element(By.ID, "live").text.startswith("live,"))


def text_of(browser: webdriver.Chrome, element: str) -> str:
    return str(browser.find_element(By.ID, element).text)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_fits_and_its_console_is_silent(
    browser: webdriver.Chrome, writable: Site, size: tuple[int, int]
) -> None:
    visit(browser, writable, size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    table = browser.find_element(By.CSS_SELECTOR, "article table.numbers")
    assert table.size["width"] <= size[0]


def test_a_saved_file_appears_by_itself_and_keeps_what_was_typed(
    browser: webdriver.Chrome, writable: Site
) -> None:
    visit(browser, writable)
    browser.find_element(By.ID, "filter").send_keys("get")
    writable.write(weight=75)
    until(browser, lambda: "75 %" in text_of(browser, "figures"))
    assert "GET /a: weight 25 -> 75" in text_of(browser, "figures")
    assert browser.switch_to.active_element.get_attribute("id") == "filter"
    browser.find_element(By.ID, "filter").send_keys("zzz")
    until(browser, lambda: not browser.find_element(By.CSS_SELECTOR, "article[data-endpoint]").is_displayed())


def test_a_refused_file_is_loud_with_the_line(browser: webdriver.Chrome, writable: Site) -> None:
    visit(browser, writable)
    writable.write(weight=500)
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "[role=alert]").is_displayed())
    assert "GET /a: {weight: 500}" in browser.find_element(By.CSS_SELECTOR, "[role=alert] pre").text
    assert browser.title == "(!) strangler"


def test_a_worker_that_hangs_turns_the_page_red(browser: webdriver.Chrome, writable: Site) -> None:
    visit(browser, writable)
    assert "Ready." in text_of(browser, "figures")
    pids = writable.pids(writable.state())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(browser, lambda: "Not ready: every worker hangs" in text_of(browser, "figures"))
        notice = browser.find_element(By.CSS_SELECTOR, "[role=alert]")
        assert "2 of 2 workers hang" in notice.text
        assert f"Worker 0 (pid {pids[0]}) has reported nothing for" in notice.text
        word = browser.find_element(By.CSS_SELECTOR, "section[aria-label=Configuration] strong")
        assert colour(browser, word) == colour(browser, browser.find_element(By.CSS_SELECTOR, "td .bad"))
        assert browser.title == "(!) strangler"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    until(browser, lambda: "Ready." in text_of(browser, "figures"))
    until(browser, lambda: browser.title == "strangler")


def colour(browser: webdriver.Chrome, element: WebElement) -> tuple[int, ...]:
    """Red, green and blue of the text; red must prevail."""
    found = tuple(int(part) for part in re.findall(r"\d+", element.value_of_css_property("color"))[:3])
    assert found[0] > 1.5 * max(found[1:]), found
    return found


def test_a_weight_is_changed_by_keyboard_alone(browser: webdriver.Chrome, writable: Site) -> None:
    visit(browser, writable, PHONE)
    browser.find_element(By.CSS_SELECTOR, "button.change").send_keys(Keys.ENTER)
    weight = until(browser, lambda: browser.find_element(By.ID, "editor-weight"))
    assert browser.switch_to.active_element.get_attribute("id") == "editor-weight"
    weight.clear()
    weight.send_keys("60", Keys.ENTER)
    until(browser, lambda: "GET /a: weight 25 -> 60\n" in text_of(browser, "editor-output"))
    assert "Answers: no evidence, nothing compared." in text_of(browser, "editor-output")
    assert "weight: 25" in writable.config.read_text()
    browser.find_element(By.ID, "editor-confirm").send_keys(Keys.ENTER)
    eventually(lambda: "weight: 60" in writable.config.read_text(), "the file has the new weight")
    until(browser, lambda: "Done" in text_of(browser, "editor-output"))


def test_what_would_be_refused_cannot_be_confirmed(browser: webdriver.Chrome, writable: Site) -> None:
    visit(browser, writable)
    browser.find_element(By.CSS_SELECTOR, "button.change").click()
    writable.config.write_text(writable.config.read_text().replace("weight: 25", "weight: 30"))
    eventually(lambda: writable.state()["generation"] == 2, "somebody else's change is in force")
    browser.find_element(By.ID, "editor-preview").click()
    until(browser, lambda: "has changed since you loaded it" in text_of(browser, "editor-output"))
    assert not browser.find_element(By.ID, "editor-confirm").is_enabled()
