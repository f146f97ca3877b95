"""The command: ``python -m studies.bridges_compared --size laptop --seeds 3``."""

import sys

from studies.bridges_compared.report import STUDY
from studies.common import main

if __name__ == "__main__":
    sys.exit(main(STUDY))
