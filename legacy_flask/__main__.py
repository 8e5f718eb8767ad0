"""Commands for the database; gunicorn runs the app itself."""

from __future__ import annotations

import argparse
import json
import sys

from psycopg import Error as PsycopgError
from sqlalchemy.exc import SQLAlchemyError

from legacy_flask.audit import problems
from legacy_flask.config import Config, ConfigError
from legacy_flask.db import make_engine
from legacy_flask.migrate import upgrade
from legacy_flask.seed import seed


def main(arguments: list[str] | None = None) -> int:
    """0 done, 1 the ledger is not exact, 2 bad input or no database."""
    options = _parser().parse_args(arguments)
    try:
        config = Config.from_environment()
        if options.command == "migrate":
            upgrade(config)
        elif options.command == "seed":
            made = seed(
                config.database_url, options.payments, options.accounts, options.merchants, options.seed
            )
            print(json.dumps(made, indent=1))
        else:
            return _check_ledger(config)
    except (ConfigError, ValueError, SQLAlchemyError, PsycopgError) as error:
        print(f"legacy_flask {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="legacy_flask", description="DATABASE_URL says which database.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the schema to the newest revision")
    filling = commands.add_parser("seed", help="fill an empty ledger; print API keys and ids as JSON")
    filling.add_argument("--payments", type=int, default=1_000, help="how many (default %(default)s)")
    filling.add_argument(
        "--accounts", type=int, default=300, help="customers' accounts (default %(default)s)"
    )
    filling.add_argument("--merchants", type=int, default=3, help="how many (default %(default)s)")
    filling.add_argument("--seed", type=int, default=1, help="same seed, same rows (default %(default)s)")
    commands.add_parser("check-ledger", help="exit 1 unless every sum is exact")
    return parser


def _check_ledger(config: Config) -> int:
    engine = make_engine(config)
    with engine.connect() as connection:
        found = problems(connection)
    engine.dispose()
    for line in found:
        print(line)
    print("The ledger is not exact." if found else "The ledger is exact.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
