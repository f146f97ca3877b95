"""The device on which the tests of this folder run: a GPU, or what ``INTERPOLANTS_TEST_DEVICE`` names.

``cpu`` shows that the tests themselves run; ``imitation`` is the device of `framework.other_device`, which computes as
the CPU does and refuses operations on tensors of both: ``INTERPOLANTS_TEST_DEVICE=imitation pytest -m gpu tests/gpu``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from framework.other_device import other_device

NAME = os.environ.get("INTERPOLANTS_TEST_DEVICE", "cuda")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(NAME == "cuda" and not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]


@contextmanager
def device() -> Iterator[str]:
    """Its name, as methods take it."""
    if NAME != "imitation":
        yield NAME
        return
    with other_device() as name:
        yield name
