"""How a write is executed: for its idempotency key, without one, or as a dry run that is rolled back."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Response

from async_api import idempotency, transactions
from async_api.database import Database
from async_api.errors import FieldError, Problem
from async_api.idempotency import Claim, OptionalClaim, Work

DRY_RUN = "X-Dry-Run"


class Writes(NamedTuple):
    """One request's way of writing. A dry run neither looks its key up nor stores it."""

    database: Database
    retry: transactions.Retry
    claim: Claim | None
    dry_run: bool

    async def execute(self, work: Work) -> Response:
        """The answer of `work`. Raises Problem; a dry run's are answers, marked as its own."""
        if self.dry_run:
            return await self._rehearse(work)
        if self.claim is not None:
            return await idempotency.execute(self.database, self.claim, work, self.retry)
        return (await transactions.run(self.database, work, lambda done: done.proof, self.retry)).response

    async def _rehearse(self, work: Work) -> Response:
        try:
            response = (await transactions.rehearse(self.database, work, self.retry)).response
        except Problem as problem:
            response = problem.response()
        response.headers[DRY_RUN] = "1"  # nobody shall take it for a write that took place
        return response


def writes(request: Request, claim: OptionalClaim) -> Writes:
    """Raises Problem (422): a dry run that is misspelt must not become a real write."""
    wanted = request.headers.getlist(DRY_RUN)
    if wanted not in ([], ["1"]):
        raise Problem(
            "invalid-request", "The dry run is not asked for rightly.", [FieldError("x-dry-run", "must be 1")]
        )
    state = request.app.state
    return Writes(state.database, state.retry, claim, bool(wanted))


Writer = Annotated[Writes, Depends(writes)]
