"""The command: ``python -m studies.masked_text --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.masked_text.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
