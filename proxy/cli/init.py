"""`strangler init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from proxy.cli import sources
from proxy.cli.errors import fail, render, warn
from proxy.cli.target import config_option
from proxy.config import ConfigErrors, load_text, read_text
from proxy.config.discover import Discovery
from proxy.config.draft import draft
from proxy.config.files import Changed, replace
from proxy.config.merge import merge


@click.command()
@click.option("--openapi", metavar="FILE|URL", help="OpenAPI document, as JSON or YAML.")
@click.option("--flask", metavar="MODULE:APP", help="Flask application; its module is imported.")
@config_option("routing.yaml to write.")
@click.option(
    "--merge", "merging", is_flag=True, help="Add new endpoints to an existing file and mark removed ones."
)
@click.option("--legacy", default="http://127.0.0.1:5001", show_default=True, help="URL of legacy.")
@click.option("--async", "async_", default="http://127.0.0.1:5002", show_default=True, help="URL of async.")
def init(openapi: str | None, flask: str | None, file: str, merging: bool, legacy: str, async_: str) -> None:
    """Generate a routing.yaml that lists every endpoint of an API at weight 0, so that nothing moves yet.

    Exits 2 if the file exists (unless --merge is given), or if the source cannot be read.

    \b
    strangler init --openapi openapi.yaml --legacy http://127.0.0.1:8080 --async http://127.0.0.1:8081
    strangler init --flask shop.web:create_app
    strangler init --openapi http://127.0.0.1:8081/openapi.json --merge
    """
    if (openapi is None) == (flask is None):
        fail("give either --openapi FILE|URL or --flask MODULE:APP")
    try:
        discovery = sources.openapi(openapi) if openapi is not None else sources.flask(flask or "")
    except sources.SourceError as error:
        fail(str(error))
    for line in discovery.skipped:
        click.echo(f"not listed, so it goes to legacy: {line}", err=True)
    if merging:
        _merge(Path(file), discovery)
    else:
        _create(Path(file), draft(discovery, legacy=legacy, async_=async_))
        click.echo(f"{file}: {len(discovery.found)} endpoints, all at weight 0")


def _create(file: Path, text: str) -> None:
    _validate(file, text)
    try:
        with file.open("x", encoding="utf-8", newline="") as new:
            new.write(text)
    except FileExistsError:
        fail(f"{file} exists; use --merge to update it, or --config FILE to write another file")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def _merge(file: Path, discovery: Discovery) -> None:
    try:
        before = read_text(file)
        merged = merge(before, discovery, source=str(file))
    except ConfigErrors as errors:
        fail(str(errors))
    _validate(file, merged.text)
    if merged.text != before:
        try:
            warn(file, replace(file, before.encode(), merged.text.encode()))
        except Changed:
            fail(f"{file} was changed by somebody else in the meantime; check it and try again")
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}")
    for what, endpoints in (("added", merged.added), ("gone", merged.gone), ("back", merged.back)):
        for endpoint in endpoints:
            click.echo(f"{what}: {endpoint}")
    if merged.text == before:
        click.echo(f"{file} is up to date")


def _validate(file: Path, text: str) -> None:
    """A file that `serve` would refuse is never written."""
    try:
        load_text(text, source=str(file), environ=os.environ)
    except ConfigErrors as errors:
        fail(f"{render(errors, text)}\nnothing was written")
