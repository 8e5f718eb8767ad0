"""Asks httpbin what is in requests.har, and prints that file: python record.py http://127.0.0.1:8101"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx2

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MANY = 180  # of what is the same: enough to say so
FEW = 12


def requests() -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Method, target, headers and body."""
    for n in range(MANY):
        yield "GET", f"/get?page={n}&tag=a&tag=b", {"x-caller": f"c{n % 7}"}, ""
        yield "GET", "/cookies", {"cookie": f"session=s{n}; theme=dark"}, ""
        yield "GET", "/uuid", {}, ""
        yield "GET", f"/status/{(200, 201, 204, 404, 503)[n % 5]}", {}, ""
        yield "DELETE", f"/delete?id={n}", {}, ""
    for n in range(FEW):
        yield "POST", f"/post?n={n}", {"content-type": JSON}, json.dumps({"n": n, "name": "Zo\u00eb"})
        yield "PUT", "/put", {"content-type": FORM}, f"n={n}&tag=a&tag=b"
        yield "GET", f"/bytes/{n * 8}?seed={n}", {}, ""
        yield "GET", "/deny", {}, ""
        yield "GET", f"/range/{n + 10}", {}, ""
        yield "GET", f"/redirect/{n % 3 + 2}", {}, ""
        yield "GET", f"/response-headers?x-n={n}", {}, ""


def entry(client: httpx2.Client, method: str, target: str, headers: dict[str, str], body: str) -> Any:
    answer = client.request(method, target, headers=headers, content=body.encode() or None)
    sent = [{"name": name, "value": value} for name, value in headers.items()]
    data = {"postData": {"mimeType": headers["content-type"], "text": body}} if body else {}
    request = {"method": method, "url": f"http://httpbin.example{target}", "headers": sent, **data}
    return {"request": request, "response": {"status": answer.status_code}}


def main(url: str) -> None:
    with httpx2.Client(base_url=url) as client:
        lines = [json.dumps(entry(client, *each)) for each in requests()]
    about = json.dumps({"name": "docs/examples/httpbin/record.py", "version": "1"})
    print(f'{{"log": {{"version": "1.2", "creator": {about}, "entries": [')
    print(",\n".join(lines))
    print("]}}")


if __name__ == "__main__":
    main(sys.argv[1])
