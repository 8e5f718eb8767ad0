"""The proxy really sends the suite's requests where its weights say."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.contract.fixtures import Ledger, client_of


@pytest.mark.parametrize(
    ("weight", "backends"), [(0, {"legacy"}), (50, {"legacy", "async"}), (100, {"async"})]
)
def test_requests_go_where_the_weight_says(
    request: pytest.FixtureRequest, ledger: Ledger, weight: int, backends: set[str]
) -> None:
    server = request.getfixturevalue(f"proxy_at_{weight}_server")
    path = f"/accounts/{ledger.accounts()[0]}"
    served: Counter[str] = Counter()
    for _ in range(30):
        with client_of(server.url, ledger.api_key) as user:
            mine = {user.get(path).headers["x-served-by"] for _ in range(2)}
        assert len(mine) == 1
        served.update(mine)
    assert set(served) == backends
