"""docker-compose.yml against the Compose schema and against what the code really offers."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from async_api.config import Settings
from legacy_flask.config import Config
from proxy.config import Loaded, load_text

ROOT = Path(__file__).parent.parent.parent
OURS = ("migrate", "fx", "legacy", "async-1", "async-2", "proxy", "pgbouncer")
SECRETS = {"POSTGRES_PASSWORD", "STRANGLER_ADMIN_TOKEN", "GRAFANA_PASSWORD"}
SECRET = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "deploy/Dockerfile").read_text()


def environment_names(package: str) -> set[str]:
    """Upper-case words in a package's string literals and, for settings classes, its fields upper-cased."""
    names: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id.upper())
    return names


def target(compose: dict[str, Any], service: str) -> str:
    """The stage of the Dockerfile that the service runs."""
    return str(compose["services"][service]["build"]["target"])


def load(name: str) -> Loaded:
    path = ROOT / name
    return load_text(path.read_text(), source=name, environ={"STRANGLER_ADMIN_TOKEN": "secret"})


def stage(dockerfile: str, name: str) -> str:
    return dockerfile.split(f" AS {name}\n")[1].split("\nFROM ")[0]


def test_it_follows_the_compose_schema(compose: dict[str, Any]) -> None:
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    errors = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(compose)]
    assert errors == []


def test_every_service_that_stays_up_has_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name in services if name != "migrate" and "healthcheck" not in services[name]] == []


def test_dependencies_exist_and_wait_for_health(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if name == "migrate" else "service_healthy"
            assert name in services
            assert how["condition"] == expected


def test_secrets_come_from_the_environment_only(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert SECRET.fullmatch(services["postgres"]["environment"]["POSTGRES_PASSWORD"])
    assert SECRET.fullmatch(services["proxy"]["environment"]["STRANGLER_ADMIN_TOKEN"])
    assert SECRET.fullmatch(services["pgbouncer"]["environment"]["POSTGRES_PASSWORD"])
    assert SECRET.fullmatch(services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"])
    for name in ("migrate", "legacy", "async-1", "async-2"):
        assert SECRET.search(services[name]["environment"]["DATABASE_URL"])
    example = (ROOT / "deploy/.env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.M)) == SECRETS


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_stages_that_run_without_root(
    name: str, compose: dict[str, Any], dockerfile: str
) -> None:
    build = compose["services"][name]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    assert "\nUSER 10001\n" in stage(dockerfile, build["target"])


def test_the_proxys_wheel_is_compiled_or_not_built_and_the_others_need_no_compiler(dockerfile: str) -> None:
    base, wheel = stage(dockerfile, "base"), stage(dockerfile, "wheel")
    assert re.search(r"^COPY .*\bhatch_build\.py\b", base, re.M)  # the build backend
    assert "\nENV STRANGLER_COMPILE=never\n" in base
    assert re.search(r"apt-get install .*\bgcc libc6-dev\b", wheel)
    assert "\nRUN STRANGLER_COMPILE=always pip wheel " in wheel
    assert "/wheel/*.whl" in stage(dockerfile, "proxy")


@pytest.mark.parametrize(
    ("service", "package"),
    [
        ("legacy", "legacy_flask"),
        ("async-1", "async_api"),
        ("async-2", "async_api"),
        ("migrate", "legacy_flask"),
    ],
)
def test_environment_variables_are_ones_that_the_code_reads(
    service: str, package: str, compose: dict[str, Any]
) -> None:
    given = set(compose["services"][service]["environment"])
    assert given <= environment_names(package)


@pytest.mark.parametrize("service", ["fx", "legacy", "async-1", "async-2", "proxy"])
def test_the_health_check_asks_a_port_that_the_image_exposes(
    service: str, compose: dict[str, Any], dockerfile: str
) -> None:
    probe = compose["services"][service]["healthcheck"]["test"][-1]
    match = re.search(r"127\.0\.0\.1:(\d+)/(healthz|readyz)", probe)
    assert match is not None
    exposed = re.search(r"^EXPOSE (.+)$", stage(dockerfile, target(compose, service)), re.M)
    assert exposed is not None
    assert match[1] in exposed[1].split()


def test_the_admin_port_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    assert compose["services"]["proxy"]["ports"] == ["8000:8000", "127.0.0.1:9000:9000"]


def test_everything_that_the_images_copy_exists(dockerfile: str) -> None:
    for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M):
        assert [name for name in line.split() if not (ROOT / name).exists()] == []


def test_the_proxy_gets_a_valid_table_with_every_endpoint(compose: dict[str, Any]) -> None:
    loaded = load("deploy/routing.yaml")
    assert loaded.snapshot.server.admin_token == "secret"
    assert [endpoint.name for endpoint in loaded.snapshot.endpoints] == [
        endpoint.name for endpoint in load("routing.yaml").snapshot.endpoints
    ]
    assert loaded.warnings == ()
    given = set(compose["services"]["proxy"]["environment"])
    assert given == set(re.findall(r"\$\{(\w+)", (ROOT / "deploy/routing.yaml").read_text()))


def test_the_table_names_services_and_ports_that_exist(compose: dict[str, Any], dockerfile: str) -> None:
    snapshot = load("deploy/routing.yaml").snapshot
    upstreams = [*snapshot.legacy.upstreams, *snapshot.async_.upstreams]
    assert [upstream.host for upstream in upstreams] == ["legacy", "async-1", "async-2"]
    for upstream in upstreams:
        assert f"EXPOSE {upstream.port} " in stage(dockerfile, target(compose, upstream.host))
    assert [snapshot.server.listen, snapshot.server.admin] == ["0.0.0.0:8000", "0.0.0.0:9000"]


@pytest.mark.parametrize(
    ("service", "names", "command"),
    [
        ("legacy", "legacy_flask.app:create_app()", ["-c", "from legacy_flask.app import create_app"]),
        ("legacy", "gunicorn", ["-m", "gunicorn", "--help"]),
        ("async-1", "async_api", ["-c", "import async_api.__main__"]),
        ("fx", "fx_provider", ["-m", "fx_provider", "--host", "0.0.0.0", "--port", "5003", "--help"]),
        ("proxy", "serve", ["-m", "proxy", "serve", "--config", "x", "--help"]),
        ("migrate", "legacy_flask", ["-m", "legacy_flask", "migrate", "--help"]),
    ],
)
def test_every_command_exists(
    service: str, names: str, command: list[str], compose: dict[str, Any], dockerfile: str
) -> None:
    """What the service runs is there, as far as that shows without its database."""
    own = (
        compose["services"][service].get("command")
        or stage(dockerfile, target(compose, service)).split("CMD ")[1]
    )
    assert names in str(own)
    argv = [sys.executable, *command]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def ini() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "deploy/pgbouncer/pgbouncer.ini")
    return parser["pgbouncer"]


def test_pgbouncer_takes_all_connections_of_async_and_postgres_all_of_its(compose: dict[str, Any]) -> None:
    services = compose["services"]
    of_async = sum(
        int(services[name]["environment"]["WORKERS"]) * int(services[name]["environment"]["POOL_MAX"])
        for name in ("async-1", "async-2")
    )
    assert of_async <= ini().getint("max_client_conn") == 5000
    assert services["pgbouncer"]["ulimits"]["nofile"] > 5000 + 200
    legacy = int(services["legacy"]["environment"]["WEB_CONCURRENCY"]) * (
        Config.pool_size + Config.pool_overflow
    )
    allowed = int(services["postgres"]["command"][-1].removeprefix("max_connections="))
    assert ini().getint("default_pool_size") + legacy + 20 <= allowed


def test_only_async_goes_through_pgbouncer_and_without_named_statements(compose: dict[str, Any]) -> None:
    services = compose["services"]
    urls = {
        name: urlsplit(services[name]["environment"]["DATABASE_URL"].replace(":?set it in .env", ""))
        for name in ("migrate", "legacy", "async-1", "async-2")
    }
    hosts = {name: f"{url.hostname}:{url.port}" for name, url in urls.items()}
    assert hosts["migrate"] == hosts["legacy"] == "postgres:5432"
    assert hosts["async-1"] == hosts["async-2"] == f"pgbouncer:{ini()['listen_port']}"
    assert services["async-1"]["environment"]["STATEMENT_CACHE_SIZE"] == "0"
    assert ini()["pool_mode"] == "transaction"
    # A request that PgBouncer lets go must still find the service waiting for it, not the other way round.
    assert ini().getfloat("query_wait_timeout") <= Settings.model_fields["pool_wait"].default


def test_the_user_of_pgbouncer_is_the_one_of_the_urls(compose: dict[str, Any], tmp_path: Path) -> None:
    """The script that writes it runs here, with its two paths moved."""
    script = (ROOT / "deploy/pgbouncer/start.sh").read_text()
    moved = script.replace("/tmp/userlist.txt", str(tmp_path / "users")).replace("exec pgbouncer", "echo")
    environment = {"POSTGRES_PASSWORD": 'a"b c', "PATH": os.environ["PATH"]}
    subprocess.run(["sh", "-c", moved], env=environment, check=True, capture_output=True, timeout=10)
    assert (tmp_path / "users").read_text() == '"payments" "a""b c"\n'
    assert ini()["auth_file"] in script
    assert compose["services"]["postgres"]["environment"]["POSTGRES_USER"] == "payments"
    assert "://payments:" in compose["services"]["async-1"]["environment"]["DATABASE_URL"]


def test_prometheus_asks_ports_that_serve_metrics(compose: dict[str, Any]) -> None:
    services = compose["services"]
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    ports = {
        name: services[name]["environment"].get("METRICS_PORT", "9000")
        for name in ("proxy", "legacy", "async-1", "async-2")
    }
    assert [target for targets in jobs.values() for target in targets] == [
        f"{name}:{port}" for name, port in ports.items()
    ]


def test_nothing_but_the_clients_port_is_published_beyond_loopback(compose: dict[str, Any]) -> None:
    published = {port for service in compose["services"].values() for port in service.get("ports", [])}
    assert {port for port in published if not port.startswith("127.0.0.1:")} == {"8000:8000"}


def test_what_is_mounted_exists(compose: dict[str, Any]) -> None:
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    for volume in volumes:
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_everything_runs_without_root_and_with_a_fixed_version(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if "image" in service:
            assert re.fullmatch(r"[\w./-]+:v?\d[\w.]*", service["image"]), name
            assert name == "postgres" or "user" in service, name  # postgres changes its user by itself
