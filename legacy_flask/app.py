"""The application factory: `gunicorn -c legacy_flask/gunicorn.conf.py 'legacy_flask.app:create_app()'`."""

from __future__ import annotations

from flask import Flask, Response

from legacy_flask import conditional, db, errors, fx, metrics, tracing, wire
from legacy_flask.config import Config
from legacy_flask.views import accounts, health, payments, quotes


def create_app(config: Config | None = None) -> Flask:
    """Raises ConfigError."""
    config = config or Config.from_environment()
    app = Flask(__name__, static_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.extensions["config"] = config
    db.init_app(app, config)
    fx.init_app(app, config)
    errors.init_app(app)
    wire.init_app(app)
    tracing.init_app(app, app.extensions["engine"])
    for blueprint in (accounts.blueprint, payments.blueprint, quotes.blueprint, health.blueprint):
        app.register_blueprint(blueprint)

    @app.after_request
    def _common_headers(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Version"] = config.version
        return response

    metrics.init_app(app, app.extensions["engine"], config.pool_size + config.pool_overflow)
    conditional.init_app(app)  # runs first: Flask calls these in reverse
    return app
