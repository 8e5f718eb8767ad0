"""Every answer is held against the OpenAPI document; a headless Chromium, for tests marked `browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from starlette.testclient import TestClient

from tests.control.admin import described

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@pytest.fixture(autouse=True)
def as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests ask for odd things, too: whatever the answer, the document says that it may come."""
    send = TestClient.send

    def sent(client: TestClient, request: Any, **more: Any) -> Any:
        answer = send(client, request, **more)
        if not more.get("stream"):
            content = request.content if hasattr(request, "_content") else b""
            assert described.faults(request.method, str(request.url), content, answer) == []
        return answer

    monkeypatch.setattr(TestClient, "send", sent)


@pytest.fixture(scope="package")
def browser() -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(
        options=options, service=Service(shutil.which("chromedriver") or "chromedriver")
    )
    yield driver
    driver.quit()
