"""Waiting for what a page shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait


def until(browser: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, 20, ignored_exceptions=[Exception]).until(lambda _: condition())
