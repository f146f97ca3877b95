"""Explorer: local pages to play with exact bridges and to inspect trained runs. Needs the extra ``web``."""

from interpolants.web.app import create_app, listen, serve
from interpolants.web.playground import Picture, Question, simulate
from interpolants.web.run_registry import open_runs
from interpolants.web.runs import Shown

__all__ = ["Picture", "Question", "Shown", "create_app", "listen", "open_runs", "serve", "simulate"]
