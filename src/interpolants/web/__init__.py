"""The explorer: a local page where bridges with exact fields are played with. Needs the extra ``web``."""

from interpolants.web.app import create_app, listen, serve
from interpolants.web.playground import Answer, Question, simulate

__all__ = ["Answer", "Question", "create_app", "listen", "serve", "simulate"]
