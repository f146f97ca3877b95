"""Servers: the explorer of bridges and runs in the browser, and one model over HTTP. Needs the extra ``web``."""

from interpolants.web.app import create_app, serve
from interpolants.web.http_server import listen
from interpolants.web.model_server import create_model_app, serve_model
from interpolants.web.playground import Picture, Question, simulate
from interpolants.web.run_registry import open_runs
from interpolants.web.runs import Shown

__all__ = [
    "Picture",
    "Question",
    "Shown",
    "create_app",
    "create_model_app",
    "listen",
    "open_runs",
    "serve",
    "serve_model",
    "simulate",
]
