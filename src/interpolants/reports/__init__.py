"""Reports: from plain facts of a run to one page that can be read, printed and mailed."""

from interpolants.reports.answers_page import write_answers

__all__ = ["write_answers"]
