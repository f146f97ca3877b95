"""Sections of a task in a report, in order."""

from interpolants.reports.page import Child, el
from interpolants.reports.pictures import Pictures
from interpolants.reports.record import by_eps
from interpolants.reports.tables import Tables
from interpolants.reports.view import is_absent


class TaskPage(Pictures, Tables):
    """Writes one task of a report.

    Args:
        task: Its facts and arrays.
        album: Draws the figures.
        prefix: Start of the names of its figure files.
    """

    def write(self) -> list[Child]:
        """All sections, in the order of a paper."""
        parts: list[tuple[str, list[Child]]] = [
            ("Data", self.data_section()),
            ("Model", self.model()),
            ("Training", self.training()),
            ("Samples", self.text_section() or self.sample_section()),
            ("One start point, four noise levels", self.one_start()),
            ("Trajectories", self.trajectories()),
            ("Transport", self.transport()),
            ("Likelihood", self.likelihood()),
            ("Measures", self.metrics()),
            ("Noise levels compared", self.eps_table()),
            ("The noise level chosen", self.eps_choice()),
            ("Has it memorised?", self.nearest()),
            ("Checks", self.checks()),
        ]
        if (levels := len(by_eps(self.arrays, "one_start"))) != 4:
            title = "One start point, many ends" if levels != 2 else "One start point, two noise levels"
            parts[4] = (title, parts[4][1])
        if self.facts.get("method"):
            # A method draws what it has; what only bridges have is not missing.
            parts = [(title, body) for title, body in parts if not is_absent(body)]
        notice = el("p", self.missing, cls="absent") if self.missing else None
        return [notice, [[el("h3", title), body] for title, body in parts if body]]
