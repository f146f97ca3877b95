"""Reports: from the folder of a run to one page that can be read, printed and mailed."""

from interpolants.reports.report import write_report

__all__ = ["write_report"]
