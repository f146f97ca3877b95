"""The command: ``python -m studies.auto_eps --size laptop --seeds 5``."""

import sys

from studies.auto_eps.experiment import STUDY
from studies.common import main

if __name__ == "__main__":
    sys.exit(main(STUDY))
