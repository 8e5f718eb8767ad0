from __future__ import annotations

from urllib.parse import urlsplit

import httpx2
import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.cli.conftest import MakeSite
from tests.cli.real_site import RealSite
from tests.compare.backends import Reply, backend

USERS = """
  admin_users:
    - {name: ada, token: ada-token, role: operator}
    - {name: eve, token: eve-token}
"""


def forget(site: RealSite, *more: str, token: str = "ada-token") -> Result:
    command = ["forget", "--admin", f"http://127.0.0.1:{site.admin}", *more]
    return CliRunner().invoke(main, command, env={"STRANGLER_ADMIN_TOKEN": token})


def pay(site: RealSite) -> httpx2.Response:
    headers = {"x-user-id": "user-1", "idempotency-key": "k1", "authorization": "Bearer t0k"}
    url = f"http://127.0.0.1:{site.data}/pay"
    return httpx2.post(url, headers=headers, content=b"{}", trust_env=False, timeout=20)


def test_an_answer_is_erased_and_a_retry_is_never_executed_again(make_real_site: MakeSite) -> None:
    with backend({"/pay": Reply(b'{"name":"pl4nted"}', 201)}) as legacy:
        port = urlsplit(legacy.url).port or 0
        erased(make_real_site(port, port))
        assert [request[0] for request in legacy.requests] == ["POST"]


def erased(site: RealSite) -> None:
    site.extra = USERS.strip("\n")
    text = site.text(weight=0) + "  POST /pay: {}\nidempotency: {principal: [header:x-user-id]}\n"
    site.config.write_text(text)
    site.up()
    assert [pay(site).text for _ in range(2)] == ['{"name":"pl4nted"}'] * 2
    assert forget(site, "--principal", "user-1", token="eve-token").exit_code == 1
    assert "1 keys" in forget(site, "--principal", "user-1", "--dry-run").stdout
    found = forget(site, "--principal", "user-1")
    assert (found.exit_code, found.stdout) == (0, "erased the stored answers of 1 keys, and 0 samples\n")
    retry = pay(site)
    assert retry.status_code == 409
    assert "kind=idempotency_response_too_large" in retry.headers["x-proxy-error"]
    assert "pl4nted" not in retry.text
    assert '"keys": 0' in forget(site, "--path", "/pay", "--json").stdout
    audit = site.get("/api/v1/audit").text
    assert "user-1" not in audit


@pytest.mark.parametrize(
    "options", [(), ("--principal", "a", "--path", "/a"), ("--principal", ""), ("--path", "")]
)
def test_one_of_principal_and_path_is_needed(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["forget", *options])
    assert result.exit_code == 2
    assert "give either --principal or --path" in result.stderr


def test_no_proxy_exits_1() -> None:
    result = CliRunner().invoke(main, ["forget", "--path", "/a", "--admin", "http://127.0.0.1:1"])
    assert result.exit_code == 1
