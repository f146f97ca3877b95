"""What recurrent networks of short series share: the law of their values, and how they are trained."""

from typing import Annotated, ClassVar

from annotated_types import Ge

from interpolants.foundations.asked import who
from interpolants.foundations.checks import number
from interpolants.foundations.kinds import Positive, Real
from interpolants.framework.role import Role
from interpolants.framework.trained import Trained
from interpolants.methods.parts.series import series_role
from interpolants.sciml.processes.output_laws import Output


class SeriesNetwork(Trained):
    """A network that learns from one short series or many, and says what values of a step are."""

    noun: ClassVar[str] = "network"
    takes_many: ClassVar[bool] = True
    only_cpu: ClassVar[str] = "its steps are small and one after the other"

    output: Output = "linear"
    """``"linear"`` in units of the columns' deviation, ``"tanh"`` within ``limits``, ``"bernoulli"`` for symbols 0 and
    1, or ``"bins"``, a softmax between the ``limits``."""
    noise: Positive = 0.3
    """Deviation of values in units of the network, for linear and tanh."""
    limits: tuple[Real, Real] = (-1.0, 1.0)
    """Range of values, for tanh and bins."""
    bins: Annotated[int, Ge(2)] = 10
    """Bins."""
    steps = 1500
    batch_size = 256
    lr = 1e-2
    ema = None

    def check_settings(self) -> None:
        """Refuse a range that is none."""
        number(who(), "the second limit", self.limits[1], above=self.limits[0])

    def roles(self) -> tuple[Role, ...]:
        """A series or many."""
        return (series_role(),)
