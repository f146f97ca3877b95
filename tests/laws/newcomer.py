"""A process that has imported the package and nothing else of it; it forks for each model that it is asked to load."""

import json
import subprocess
import sys
from pathlib import Path

_LOOP = """
import json, os, sys
import interpolants
interpolants.load
for line in sys.stdin:
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            kind = type(interpolants.load(json.loads(line)))
            from interpolants.framework.capabilities import capabilities_of, leading_arguments
            for verb in capabilities_of(kind):  # known without another room's modules
                leading_arguments(verb)
            said = kind.__name__
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said[:4000].encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        print(json.dumps(told.read().decode()), flush=True)
    os.wait()
"""


class Newcomer:
    """Where a class is registered only because somebody imported its module before, this process does not know it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def loads(self, folder: Path) -> str:
        """Name of the class that was loaded, or the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(str(folder)) + "\n")
        self._process.stdin.flush()
        said: str = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=20)
