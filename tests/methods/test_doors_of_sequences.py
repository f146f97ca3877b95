"""What a user may hand in as images ends in the right answer or in a message.

Companion of ``test_public_doors.py``, which does the same for rows. The fits take a few steps, and what is tested holds
for any weights.
"""

import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Restoration

FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(0)

# --- images --------------------------------------------------------------------------------------------------

IMAGES = RNG.normal(size=(24, 1, 8, 8))
HOLED = np.where(RNG.random((6, 1, 8, 8)) < 0.4, np.nan, IMAGES[:6])


@functools.cache
def painter():
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    return Restoration(coupling="in_painting", net=net, steps=2, batch_size=8).fit(IMAGES, progress=False)


def restored(observed):
    return np.asarray(painter().restore(observed, n_steps=2).x)


@pytest.mark.slow
@FEW
@given(count=st.integers(1, 6))
def test_a_restored_image_does_not_depend_on_those_behind_it(count):
    np.testing.assert_array_equal(restored(HOLED[:count]), restored(HOLED)[:count])
    known = np.isfinite(HOLED[:count])
    passed = restored(HOLED[:count])[:, 0][known]
    np.testing.assert_array_equal(passed.astype(np.float32), HOLED[:count][known].astype(np.float32))


@FEW
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from([4, 8]), st.sampled_from([4, 8]))
)
def test_images_of_another_shape_are_refused(shape):
    asked = np.full(shape, np.nan)
    if shape[0] and shape[1:] == (1, 8, 8):
        assert np.isfinite(restored(asked)).all()
        return
    with pytest.raises(InvalidInputError, match=r"must (have|not be empty|hold)"):
        restored(asked)
