"""A pytest plugin (`make test-compiled`): what is tested must be the compiled data path, not the sources."""

from __future__ import annotations

import proxy.edge.exchange.exchange

if not proxy.edge.exchange.exchange.__file__.endswith(".so"):
    raise RuntimeError(f"{proxy.edge.exchange.exchange.__file__} is not compiled; run `make compiled`")
