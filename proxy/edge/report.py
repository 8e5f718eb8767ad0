"""A worker's report about itself to the control process, once per second."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.core.forwarding import addresses
from proxy.core.wire.messages import AddressSeen, Requests, Stats
from proxy.edge.observe.counters import rows
from proxy.edge.services import Services
from proxy.edge.upstream.address import NEVER_YET

RECENT: Final = 15.0  # seconds for which it is told why a keyed write was refused


def stats(services: Services, *, partial: bool = False) -> Stats:
    """What this worker counted; `partial` leaves out the series that are as they were in the last one."""
    now = services.loop.time()
    services.observers.count_dropped_lines()
    counters = services.counters
    return Stats(
        connections=len(services.clients.items),
        requests=counters.request_rows(changed=partial),
        latencies=counters.latency_rows(changed=partial),
        proxy_errors=rows(counters.errors),
        retries=rows(counters.retries),
        outcome_unknown=rows(counters.unknown),
        dropped=rows(counters.dropped),
        breakers=services.breakers.open(now),
        keyed=rows(counters.keyed),
        partial=partial,
        unlisted=rows(counters.unlisted.counts()),
        tasks=len(asyncio.all_tasks(services.loop)),
        violations=rows(counters.violations),
        own=[Requests(*labels, count) for labels, count in counters.own.items()],
        addresses=_addresses(services, now),
        full=_ago(now, services.crowd.full_at),
        units=services.trials.reports(changed=partial),
        left=[Requests(*labels, 0, count) for labels, count in counters.left.items()],
        early=[Requests(*labels, 0, count) for labels, count in counters.early.items()],
        store=services.writes.trouble(now - RECENT),
    )


def _addresses(services: Services, now: float) -> list[AddressSeen]:
    pools = services.pools
    unanswered = {name: pool.unanswered(now - addresses.SILENCE) for name, pool in pools.items()}
    return [
        AddressSeen(
            name,
            address.upstream.url,
            address.failures,
            address.healthy,
            _ago(now, address.failed_at),
            _ago(now, address.answered_at),
            unanswered[name][address],
            _ago(now, address.last_heard()),
            address.is_left_out(now),
            list(address.lame),
        )
        for name, pool in pools.items()
        for address in pool.addresses
    ]


def _ago(now: float, then: float) -> float:
    """Seconds; -1 for never, which JSON can say."""
    return -1.0 if then == NEVER_YET else round(max(0.0, now - then), 3)
