from __future__ import annotations

from proxy.store.engines import _postgresql_url


def test_sslmode_is_what_the_driver_calls_ssl() -> None:
    made = _postgresql_url("postgresql://u:p%40ss@db/x?sslmode=require")
    assert (made.drivername, made.password, dict(made.query)) == (
        "postgresql+asyncpg",
        "p@ss",
        {"ssl": "require"},
    )


def test_a_socket_directory_stays_a_host() -> None:
    assert dict(_postgresql_url("postgres://u@/x?host=/run").query) == {"host": "/run"}
