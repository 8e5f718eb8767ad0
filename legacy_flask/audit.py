"""Checks the ledger from the database alone: what must hold after any load and any fault."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

CHECKS: Final[dict[str, str]] = {
    "transactions whose two entries do not sum to zero": """
        SELECT t.id FROM ledger_transactions t LEFT JOIN entries e ON e.transaction_id = t.id
        GROUP BY t.id HAVING count(e.id) <> 2 OR sum(e.amount) <> 0""",
    "transactions between accounts of different currencies": """
        SELECT e.transaction_id FROM entries e JOIN accounts a ON a.id = e.account_id
        GROUP BY e.transaction_id HAVING count(DISTINCT a.currency) > 1""",
    "accounts whose balance is not the sum of their entries": """
        SELECT a.id FROM accounts a LEFT JOIN entries e ON e.account_id = a.id
        GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)""",
    "entries whose balance_after is not the running sum (a lost update)": """
        SELECT id FROM (
            SELECT id, balance_after, sum(amount) OVER (PARTITION BY account_id ORDER BY id) AS running
            FROM entries) AS sums
        WHERE balance_after <> running""",
    "payments that did not move their amount exactly once": """
        SELECT p.id FROM payments p
        LEFT JOIN ledger_transactions t ON t.payment_id = p.id AND t.kind = 'payment'
        LEFT JOIN entries e ON e.transaction_id = t.id
            AND ((e.account_id = p.source_account_id AND e.amount = -p.amount)
              OR (e.account_id = p.destination_account_id AND e.amount = p.amount))
        GROUP BY p.id HAVING count(e.id) <> 2 OR count(DISTINCT t.id) <> 1""",
    "payments whose refunded amount or status does not match their refunds": """
        SELECT p.id FROM payments p
        LEFT JOIN refunds r ON r.payment_id = p.id AND r.status = 'completed'
        GROUP BY p.id HAVING p.refunded <> coalesce(sum(r.amount), 0) OR p.status <> CASE p.refunded
            WHEN 0 THEN 'completed' WHEN p.amount THEN 'refunded' ELSE 'partially_refunded' END""",
    "refunds that did not move their amount exactly as their status says": """
        SELECT r.id FROM refunds r LEFT JOIN ledger_transactions t ON t.refund_id = r.id
        LEFT JOIN entries e ON e.transaction_id = t.id AND e.amount = r.amount
        GROUP BY r.id HAVING count(e.id) <> (r.status = 'completed')::int""",
}


def problems(connection: Connection, examples: int = 3) -> list[str]:
    """One line per broken rule, with how often and the first few ids; empty if the ledger is exact."""
    found = []
    for what, query in CHECKS.items():
        counted = f"SELECT count(*), (array_agg(id))[:{examples}] FROM ({query}) AS broken (id)"
        count, ids = connection.exec_driver_sql(counted).one()
        if count:
            found.append(f"{count} {what}: {', '.join(map(str, ids))}")
    return found
