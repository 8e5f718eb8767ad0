"""What an amount is worth in another currency."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from legacy_flask import fx, parsing
from legacy_flask.auth import authenticate
from legacy_flask.money import DECIMALS, money
from legacy_flask.representations import timestamp

blueprint = Blueprint("quotes", __name__, url_prefix="/quotes")
blueprint.before_request(authenticate)
blueprint.before_request(parsing.refuse_repeated)


@blueprint.get("")
def get_quote() -> ResponseReturnValue:
    fields = parsing.query({"base", "quote", "amount"})
    base, quote = fields.choice("base", DECIMALS), fields.choice("quote", DECIMALS)
    if base and base == quote:
        fields.wrong("quote", "must differ from base")
    amount = fields.amount("amount", base, positive=True)
    fields.check()
    found = fx.rate(base, quote)
    return jsonify(
        base=base,
        quote=quote,
        rate=found.rate,
        amount=money(amount, base),
        converted=money(fx.convert(amount, base, quote, found.rate), quote),
        quoted_at=timestamp(found.quoted_at),
        expires_at=timestamp(found.expires_at),
    )
