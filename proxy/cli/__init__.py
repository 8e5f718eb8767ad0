"""The `strangler` command. Exit codes: 0 done, 1 the answer is no, 2 bad input or config."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "serve": "proxy.cli.serve:serve",
    "init": "proxy.cli.init:init",
    "check": "proxy.cli.check:check",
    "explain": "proxy.cli.explain:explain",
    "set": "proxy.cli.set:set_command",
    "compare": "proxy.cli.compare:compare_command",
    "replay": "proxy.cli.replay:replay",
    "status": "proxy.cli.status:status",
    "reload": "proxy.cli.reload:reload",
    "restart": "proxy.cli.restart:restart",
    "diff": "proxy.cli.diff:diff",
    "writes": "proxy.cli.writes:writes",
    "forget": "proxy.cli.forget:forget",
    "history": "proxy.cli.history:history",
    "rollback": "proxy.cli.rollback:rollback",
    "rollout": "proxy.cli.rollout:rollout",
    "freeze": "proxy.cli.freeze:freeze",
    "unfreeze": "proxy.cli.freeze:unfreeze",
    "ledger": "proxy.cli.ledger:ledger",
    "demo": "proxy.cli.demo.command:demo",
}
"""Name -> module:attribute. A command's module is imported only when it is asked for, so that what one
command needs does not slow down the others."""

SUMMARIES: Final = {
    "serve": "Run the proxy and its admin port.",
    "init": "Generate a routing.yaml from OpenAPI or Flask.",
    "check": "Validate a routing.yaml.",
    "explain": "Show where a request would go, and why.",
    "set": "Change the weight of one endpoint.",
    "compare": "Send the same request to both backends and show what differs.",
    "replay": "Replay an access log or HAR file and compare both backends.",
    "status": "Show all endpoints and both backends, once or live.",
    "reload": "Validate and apply the configuration now.",
    "restart": "Restart the proxy without a failed request.",
    "diff": "Show what changes between two routing.yaml files.",
    "writes": "List writes with an idempotency key; settle unknown outcomes.",
    "forget": "Erase the stored answers and samples of a person or path.",
    "history": "List the accepted configurations.",
    "rollback": "Restore the previous accepted configuration.",
    "rollout": "Show rollouts; pause, resume, approve, abort or retry them.",
    "freeze": "Let no rollout advance.",
    "unfreeze": "Let rollouts advance again.",
    "ledger": "Show the progress of each endpoint, and unlisted paths.",
    "demo": "Run a complete migration on this machine, with traffic.",
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from proxy.datapath import this_build  # the parsers, which other commands may not need

        click.echo(this_build())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Say which build this is.",
)
def main() -> None:
    """Move a live HTTP API from an old service to a new one, endpoint by endpoint, by changing one number.

    \b
    strangler check routing.yaml
    strangler serve --config routing.yaml
    strangler set 'GET /accounts/{account_id}' 25 --config routing.yaml --admin http://127.0.0.1:9000
    """
