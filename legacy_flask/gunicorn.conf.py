"""Sync workers, one request at a time each, behind a proxy that buffers."""

import os

bind = os.environ.get("BIND", "127.0.0.1:5001")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "sync"
timeout = 60  # a statement of years may stream for long
graceful_timeout = 30  # SIGTERM: finish what is being answered
limit_request_line = 8190
loglevel = os.environ.get("LOG_LEVEL", "warning")
accesslog = None
control_socket_disable = True
