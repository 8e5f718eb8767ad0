from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError, v1

from async_api.models import PaymentOrder, PaymentPage
from bench.headline.pydantics import MONEY, ORDER, PAGE, PaymentOrderV1, PaymentPageV1, compare


@pytest.mark.parametrize(
    "change",
    [
        {"source_account_id": "x"},
        {"destination_account_id": ORDER["source_account_id"]},
        {"amount": {**MONEY, "amount": "12.3"}},
        {"amount": {**MONEY, "amount": "0.00"}},
        {"amount": {**MONEY, "currency": "XXX"}},
        {"description": ""},
        {"extra": 1},
    ],
)
def test_both_versions_refuse_the_same(change: dict[str, Any]) -> None:
    wrong = json.dumps({**ORDER, **change})
    with pytest.raises(ValidationError):
        PaymentOrder.model_validate_json(wrong)
    with pytest.raises(v1.ValidationError):
        PaymentOrderV1.parse_raw(wrong)


def test_both_versions_read_the_same() -> None:
    order = json.dumps(ORDER)
    assert PaymentOrder.model_validate_json(order).model_dump() == PaymentOrderV1.parse_raw(order).dict()
    page = json.dumps(PAGE)
    new, old = PaymentPage.model_validate_json(page), PaymentPageV1.parse_raw(page)
    assert [one.created_at for one in new.items] == [one.created_at for one in old.items]
    dropped: Any = {"items": {"__all__": {"created_at"}}}  # written in a format of its own
    assert new.model_dump(exclude=dropped) == old.dict(exclude=dropped)


def test_each_operation_has_a_time_for_both() -> None:
    found = compare(0.001)
    assert len(found["us"]) == 3
    assert all(both > 0 for times in found["us"].values() for both in times)
