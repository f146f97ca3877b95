"""The explorer: local pages where bridges are played with, and trained runs looked at. Needs the extra ``web``."""

from interpolants.web.app import create_app, listen, serve
from interpolants.web.playground import Picture, Question, simulate
from interpolants.web.run_registry import open_runs
from interpolants.web.runs import Shown

__all__ = ["Picture", "Question", "Shown", "create_app", "listen", "open_runs", "serve", "simulate"]
