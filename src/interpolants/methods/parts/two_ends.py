"""What methods along a path between two sample sets read."""

from typing import Annotated, Any, ClassVar, Self

from interpolants.foundations.kinds import Check
from interpolants.framework.role import Role
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import flow_path


class TwoEnds(Trained):
    """A method that learns from samples of both ends of a path; abstract."""

    # Whether ``learn`` takes rows that are not in memory: LazyRows and EndlessRows.
    streams: ClassVar[bool] = False

    path: Annotated[Any, Check(flow_path)] = "linear"
    """The interpolant: a name, a table or a ``Path`` whose velocity is finite at both ends. A name without an envelope
    means ``gamma = 0``. A one-sided path starts from its Gaussian base, and takes no ``x0``."""

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends, and what is known of the rows of x1."""
        x0 = Role(name="x0", axis="x0", like="x1", about="samples at t = 0", streams=self.streams)
        x1 = Role(name="x1", axis="x1", about="samples at t = 1", streams=self.streams)
        cond = Role(name="cond", kind="condition", axis="x1", optional=True)
        return (x1, cond) if self.path.is_one_sided else (x0, x1, cond)

    def fit(self, x0: Any = None, x1: Any = None, *, cond: Any = None, **options: Any) -> Self:
        """Learn from samples of both ends.

        Args:
            x0: Samples of rho0, ``(N0, *D)``; left out where the path starts from a Gaussian base.
            x1: Samples of rho1, ``(N1, *D)``.
            cond: What is known of each row of ``x1``: labels ``(N1,)``, vectors ``(N1, C)`` or fields ``(N1, C, *D)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        given = {"x0": x0, "x1": x1, "cond": cond}
        return super().fit(**{name: value for name, value in given.items() if value is not None}, **options)
