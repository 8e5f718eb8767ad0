"""What the data path costs, beside nginx, HAProxy, Caddy and a Starlette + httpx proxy: `python -m bench`."""
