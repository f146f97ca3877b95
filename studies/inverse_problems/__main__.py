"""The command: ``python -m studies.inverse_problems --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.inverse_problems.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
