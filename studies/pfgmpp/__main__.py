"""The command: ``python -m studies.pfgmpp --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.pfgmpp.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
