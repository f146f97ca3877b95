"""The command: ``python -m studies.ode_sde_gap --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.ode_sde_gap.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
