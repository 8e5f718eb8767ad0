"""Reads bodies and parameters of requests to the admin app."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from proxy.core.settings import AdminUser
from proxy.core.traffic.authors import Author

MAX_BODY = 64 * 1024  # bytes
MAX_AUTHOR = 100
USUAL_LIMIT = 100  # entries of a list
MAX_LIMIT = 1000


async def limited_body(request: Request) -> bytes:
    """The body, if it is JSON and small; HTTPException 415 or 413 if not."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    except ClientDisconnect as error:  # nobody hears the answer; as any other exception it would be logged
        raise HTTPException(400, "the client left before the end of the body") from error
    return bytes(body)


def limit_of(request: Request) -> int:
    """`?limit=`, at least 1 and at most MAX_LIMIT; HTTPException 400 for anything else."""
    digits = request.query_params.get("limit", str(USUAL_LIMIT))
    limit = int(digits) if len(digits) <= 4 and digits.isascii() and digits.isdigit() else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise HTTPException(400, f"limit is not a number from 1 to {MAX_LIMIT}")
    return limit


def user_of(request: Request) -> AdminUser | None:
    """Whose token the request has; None where the admin port knows no users."""
    user = request.scope.get("state", {}).get("user")
    return user if isinstance(user, AdminUser) else None


def author_of(request: Request) -> Author:
    """Whose token it is. Who the caller says to be (`x-author`) is a name, not a proof: it is kept beside
    it, and stands alone only where no token is asked for."""
    given = request.headers.get("x-author", "")
    claimed = "".join(char for char in given if char.isprintable()).strip()[:MAX_AUTHOR]
    user = user_of(request)
    if user is None:
        return Author(claimed)
    return Author(user.name, "" if claimed == user.name else claimed)


def client_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"
