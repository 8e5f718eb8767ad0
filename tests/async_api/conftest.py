from tests.contract.fixtures import new_ledger, postgres, template

__all__ = ["new_ledger", "postgres", "template"]
