"""A small U-Net that predicts noise on handwritten digits, trained once per session for all tests that need one."""

import functools

from interpolants.data import load
from interpolants.fields import LearnedFields
from interpolants.nets import UNet
from interpolants.paths import VP
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings


@functools.cache
def digits():
    """Digits ``(N, 1, 8, 8)``, float32, of mean 0 and standard deviation 1 over all entries."""
    x = load("digits", "train").x.float()
    return (x - x.mean()) / x.std()


@functools.cache
def digits_fields() -> LearnedFields:
    """The fields of a variance-preserving path; about 15 seconds of one core, so for slow tests."""
    net = UNet((1, 8, 8), channels=16, multipliers=(1, 2, 2), blocks=1, attention=())
    settings = TrainSettings(steps=600, batch_size=128, lr=2e-3, ema=0.995, schedule="cosine")
    return learn_fields(VP(), None, digits(), heads=("noise",), net=net, settings=settings).fields
