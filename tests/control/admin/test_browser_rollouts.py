"""Rollouts on the status page, in a real Chromium, of a control process that runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests import plain
from tests.control.admin.test_browser import PHONE, WIDE, text_of, visit
from tests.control.site import Site
from tests.support.browsing import until
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser

NONE = "advance: {failing: off, no_worse: off, slower: off, parity: off}"
ROLLOUTS = f"""\
rollouts:
  slow: {{steps: [1, 5, 25, 50, 100], dwell: 1h, advance: {{parity: off}}}}
  quick: {{steps: [0, 1, 100], dwell: 1s, {NONE}}}
  asks: {{steps: [1, 100], dwell: 1h, approve: [1], {NONE}}}
  whole: {{steps: [1, 100], dwell: 1s, {NONE}}}
phases:
  reads: {{methods: [GET]}}
  writes: {{methods: [POST], after: reads}}
"""
ENDPOINTS = {
    "GET /running": "slow",
    "GET /paused": "slow",
    "GET /back": "slow",
    "GET /holding": "quick",
    "GET /asks": "asks",
    "GET /done": "whole",
    "POST /waiting": "slow",
}
STATES = {
    "GET /running": "running",
    "GET /paused": "paused",
    "GET /back": "rolled_back",
    "GET /holding": "holding",
    "GET /asks": "approval",
    "GET /done": "done",
    "POST /waiting": "waiting",
}


@pytest.fixture
def rolling(site: Site) -> Site:
    head, _, _ = site.text(weight=0).partition("endpoints:")
    listed = "".join(
        f"  {name}: {{rollout: {plan}, group: {name[-4:]}}}\n" for name, plan in ENDPOINTS.items()
    )
    site.config.write_text(f"{head}{ROLLOUTS}endpoints:\n{listed}")
    site.up()
    eventually(lambda: states(site)["GET /back"] == "running", "it has begun")
    for action, name in (("pause", "GET /paused"), ("abort", "GET /back")):
        body = {"endpoint": name, "reason": "lunch"}
        url = f"http://127.0.0.1:{site.admin}/api/v1/rollouts/{action}"
        assert plain.post(url, json=body, timeout=10).status_code == 200
    eventually(lambda: states(site) == STATES, "each is in its state")
    return site


def states(site: Site) -> dict[str, str]:
    return {each["endpoint"]: each["state"] for each in site.get("/api/v1/rollouts").json()["rollouts"]}


def row(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f'details.rollout[data-endpoint="{name}"]')


def keep(browser: webdriver.Chrome, name: str) -> None:
    """For who wants to see it: the whole page as a picture in the folder that SCREENSHOTS names."""
    if folder := os.environ.get("SCREENSHOTS"):
        height = browser.execute_script("return document.getElementById('rollouts').parentNode.offsetHeight")
        width = browser.execute_script("return document.documentElement.clientWidth")
        metrics = {"width": width, "height": height + 400, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_rollouts_in_every_state_and_a_button_that_asks_first(
    browser: webdriver.Chrome, rolling: Site
) -> None:
    visit(browser, rolling, WIDE)
    shown = browser.find_elements(By.CSS_SELECTOR, "details.rollout")
    assert {
        each.get_attribute("data-endpoint"): each.get_attribute("class").split()[1] for each in shown
    } == STATES
    assert not any(each.get_attribute("open") for each in shown)
    keep(browser, "closed")
    visit(browser, rolling, WIDE)
    row(browser, "GET /back").find_element(By.TAG_NAME, "summary").click()
    until(browser, lambda: row(browser, "GET /back").find_element(By.CSS_SELECTOR, ".weights g.rolled_back"))
    assert "lunch" in row(browser, "GET /back").find_element(By.CLASS_NAME, "past").text
    row(browser, "GET /back").find_element(By.CSS_SELECTOR, "button[data-action=retry]").click()
    browser.find_element(By.ID, "act-reason").send_keys("it was repaired")
    assert states(rolling)["GET /back"] == "rolled_back"
    browser.find_element(By.ID, "act-confirm").click()
    until(browser, lambda: text_of(browser, "act-output").startswith("Done."))
    until(browser, lambda: "running" in row(browser, "GET /back").get_attribute("class"))
    browser.find_element(By.CSS_SELECTOR, "#act button[value=cancel]").click()
    until(
        browser,
        lambda: "it was repaired" in row(browser, "GET /back").find_element(By.CLASS_NAME, "past").text,
    )
    assert row(browser, "GET /back").get_attribute("open")  # what was opened stays so
    row(browser, "GET /running").find_element(By.TAG_NAME, "summary").click()
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    keep(browser, "open")


def test_everything_is_frozen_with_a_reason_alone(browser: webdriver.Chrome, rolling: Site) -> None:
    visit(browser, rolling, PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    browser.find_element(By.CSS_SELECTOR, "button[data-action=freeze]").click()
    browser.find_element(By.ID, "act-confirm").click()
    assert rolling.get("/api/v1/rollouts").json()["frozen"] is None
    browser.find_element(By.ID, "act-reason").send_keys("a sale")
    browser.find_element(By.ID, "act-confirm").click()
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "button[data-action=unfreeze]"))
    assert rolling.get("/api/v1/rollouts").json()["frozen"]["reason"] == "a sale"
    browser.find_element(By.CSS_SELECTOR, "#act button[value=cancel]").click()
    row(browser, "GET /running").find_element(By.TAG_NAME, "summary").click()
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    keep(browser, "phone")
