"""The demo's routing.yaml, and the edits that an engineer makes to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

READS = (
    "GET /accounts/{account_id}",
    "GET /accounts/{account_id}/transactions",
    "GET /accounts/{account_id}/statement",
    "GET /payments/{payment_id}",
    "GET /payments",
    "GET /quotes",
)
QUOTES = "GET /quotes"
ACCOUNT = READS[0]
FIRST = READS[:3]
"""Those that move first: the group of the accounts."""

STEPS = (0, 10, 50, 100)
PLAN = "reads"
WRITE = "POST /payments"
DRY_RUN = f"{WRITE} (dry run)"
WRITES = ("POST /accounts", "PUT /accounts/{account_id}", WRITE, "POST /payments/{payment_id}/refunds")

_TEMPLATE = """\
# The demo's table. It is watched: save a change and it is live.
server:
  listen: 127.0.0.1:{data}
  admin: 127.0.0.1:{admin}
  workers: 2
  runtime_dir: {directory}/run
  state: sqlite:///{directory}/run/state.db

backends:
  legacy: {{url: "http://127.0.0.1:{legacy}"}}  # Flask, gunicorn sync workers
  async:                                    # FastAPI, uvicorn
    url: "http://127.0.0.1:{async_}"
    dry_run: {{header: "x-dry-run: 1"}}       # writes with this header are answered and rolled back

sticky: {{key: [header:x-user-id]}}
breaker: {{open_for: 1s}}
compare: {{sample: 100%, rate: 30, in_flight: 8, parity: 20%}}  # what clients read, both are asked again;
# a demo is short: parity of 2 %, the default, takes 178 users of each endpoint, and 20 % takes 16

rollouts:
  {plan}:  # weights that rise by themselves, on evidence from users
    steps: {steps}
    # A demo is short, with few users; by default a step lasts 10 minutes, 1 % may fail, and slowness counts.
    dwell: 3s
    advance: {{failing: 20%, no_worse: off, slower: off, parity: 20%}}

endpoints:  # weight: percent of the users who are answered by async
  GET /accounts/{{account_id}}:                {{weight: 0}}
  GET /accounts/{{account_id}}/transactions:   {{weight: 0}}
  GET /accounts/{{account_id}}/statement:      {{weight: 0}}
  GET /payments/{{payment_id}}:                {{weight: 0}}
  GET /payments:                             {{weight: 0}}
  GET /quotes:                               {{weight: 0}}
  POST /accounts:                            {{weight: 0}}  # writes: after the reads
  PUT /accounts/{{account_id}}:                {{weight: 0}}
  POST /payments:                            {{weight: 0, compare: {{dry_run: true}}}}
  POST /payments/{{payment_id}}/refunds:       {{weight: 0}}
"""


class Addresses(Protocol):
    """Ports of the processes that the table names."""

    @property
    def data(self) -> int: ...
    @property
    def admin(self) -> int: ...
    @property
    def legacy(self) -> int: ...
    @property
    def async_(self) -> int: ...


def initial(directory: Path, ports: Addresses) -> str:
    """Every endpoint on legacy."""
    return _TEMPLATE.format(
        directory=directory.resolve(),
        data=ports.data,
        admin=ports.admin,
        legacy=ports.legacy,
        async_=ports.async_,
        plan=PLAN,
        steps=list(STEPS),
    )


def roll_out(path: Path, endpoints: Sequence[str]) -> None:
    """What one does in an editor: the plan in place of the weight on these lines, and save."""
    _edit(path, endpoints, f"rollout: {PLAN}")


def set_weight(path: Path, endpoints: Sequence[str], weight: int) -> None:
    """Another number on these lines."""
    _edit(path, endpoints, f"weight: {weight}")


def deploy(path: Path, before: int, after: int) -> None:
    """The next build of async is at another port of this machine."""
    text = path.read_text()
    address = f'url: "http://127.0.0.1:{before}"'
    assert text.count(address) == 1, address
    path.write_text(text.replace(address, f'url: "http://127.0.0.1:{after}"'))


def _edit(path: Path, endpoints: Sequence[str], setting: str) -> None:
    text = path.read_text()
    for endpoint in endpoints:
        text, changed = re.subn(
            rf"^(  {re.escape(endpoint)}: +\{{)(?:weight|rollout): \w+",
            rf"\g<1>{setting}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
        assert changed, endpoint
    path.write_text(text)
