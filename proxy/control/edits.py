"""Edits the file of the running configuration in place: previews an edit, or applies it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from proxy.config import ConfigErrors
from proxy.config.files import Changed, replace
from proxy.control.errors import Refusal
from proxy.control.log import log
from proxy.control.reload import Reloader, ReloadResult, judge, read
from proxy.core.traffic.authors import Author

Edit = Callable[[str, str], str]
"""From the file's text and its name to the edited text. Raises ConfigErrors."""


class Proposal(NamedTuple):
    """The file before and after an edit, and the reloader's verdict on it."""

    before: bytes
    after: bytes
    verdict: ReloadResult


def propose(reloader: Reloader, edit: Edit) -> Proposal:
    """What the change would do. Raises Refusal; changes nothing."""
    source = str(reloader.path)
    content = read(reloader.path)
    if isinstance(content, OSError):
        raise Refusal(409, f"{source} cannot be read: {content.strerror}")
    try:
        edited = edit(content.decode(), source).encode()
    except UnicodeDecodeError:
        raise Refusal(409, f"{source} is not UTF-8 text") from None
    except ConfigErrors as errors:
        raise Refusal(422, "this change cannot be written to the file", errors.errors) from None
    verdict = judge(edited, source, reloader.running.snapshot, reloader.started, reloader.standing())
    if verdict.loaded is None:
        raise Refusal(422, "the file would not be accepted; nothing was changed", verdict.errors)
    return Proposal(content, edited, verdict)


async def change(reloader: Reloader, edit: Edit, trigger: str, author: Author) -> ReloadResult:
    """Writes the file and makes every worker serve it. Raises Refusal, and then nothing was changed."""
    proposal = await asyncio.to_thread(propose, reloader, edit)
    try:
        if proposal.after != proposal.before:
            warning = await asyncio.to_thread(replace, reloader.path, proposal.before, proposal.after)
            if warning:
                log.warning("%s: %s", reloader.path, warning)
    except Changed:
        raise Refusal(409, "the file was changed by somebody else in the meantime; load it again") from None
    except OSError as error:
        raise Refusal(409, f"{reloader.path} cannot be written: {error.strerror}") from None
    return await reloader.reload(trigger, author)
