"""The demo's routing.yaml, and the edits that an engineer makes to it."""

from __future__ import annotations

import re
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
breaker: {{open_for: 3s}}
compare: {{sample: 100%, rate: 30, in_flight: 8, parity: 10%}}  # what clients read, both are asked again;
# a demo is short: parity of 2 %, the default, takes 178 users of each endpoint

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
    """Ports of the four processes."""

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
    )


def edit(path: Path, weight: int) -> None:
    """What one does in an editor: another number on the line of each read, and save."""
    text = path.read_text()
    for endpoint in READS:
        text, changed = re.subn(
            rf"^(  {re.escape(endpoint)}: +\{{weight: )\d+",
            rf"\g<1>{weight}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
        assert changed, endpoint
    path.write_text(text)
