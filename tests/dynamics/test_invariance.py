"""A sample is the same to the bit in any batch, chunk, shard and process."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.invariance import SMALLEST, VECTOR, rows_are_independent
from interpolants.foundations.randomness import BLOCK, generator
from interpolants.nets import MLP, UNet
from interpolants.paths import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from stirred_nets import stirred

SETTINGS = {
    "fixed": {"method": "rk4", "n_steps": 3},
    "adaptive": {"method": "dopri5", "rtol": 1e-3, "atol": 1e-3},
    "sde": {"eps": 0.5, "n_steps": 6, "seed": 11},
    "sra1": {"eps": 0.5, "n_steps": 6, "seed": 11, "method": "sra1"},
    "adaptive_sde": {
        "eps": 0.5,
        "n_steps": 3,
        "seed": 11,
        "method": "adaptive_heun",
        "rtol": 0.0,
        "atol": 0.5,  # at 0.1 the score of an untrained network, which nothing binds near the ends, underflows steps
    },
    "finished": {"eps": 0.5, "n_steps": 6, "seed": 11, "finish": "denoise"},
}


# Every step of a network of images is dear, and bits that differ do so in any of them.
FEW = {kind: run | {"n_steps": 2} for kind, run in SETTINGS.items() if kind != "adaptive"}
FEW["adaptive"] = SETTINGS["adaptive"] | {"rtol": 0.1, "atol": 0.1}


def mlp_fields():
    net = stirred(MLP(2, width=256, depth=3, heads=2, n_classes=3))
    return LearnedFields(Linear(), joint=net, heads=("velocity", "noise"))


def unet_fields():
    net = stirred(UNet((1, 8, 8), channels=16, blocks=1, heads=2, n_classes=3))
    return LearnedFields(Linear(), joint=net, heads=("velocity", "noise"))


FIELDS = {"mlp": (mlp_fields, (2,)), "unet": (unet_fields, (1, 8, 8))}


def start(n, shape):
    source = generator(7)
    return torch.randn(n, *shape, generator=source), torch.arange(n) % 3


def sharded(fields, x, cond, size, rows, **settings):
    """The samples ``rows``, computed ``size`` at a time as parts of the whole job."""
    parts = []
    for begin in range(rows.start, rows.stop, size):
        piece = slice(begin, min(begin + size, rows.stop))
        parts.append(sample(fields, x[piece], cond=cond[piece], first_index=begin, **settings).x)
    return torch.cat(parts)


@pytest.mark.cases(2)
@pytest.mark.parametrize("kind", ["fixed", "adaptive", "sde", "sra1", "adaptive_sde", "finished"])
def test_an_mlp_gives_the_same_bits_for_batches_of_1_7_64_and_1000(kind):
    fields, settings = mlp_fields(), SETTINGS[kind]
    x, cond = start(1000, (2,))
    whole = sample(fields, x, cond=cond, **settings).x
    assert float((whole - x).abs().mean()) > 0.01
    for size, rows in ((1, slice(60, 68)), (1, slice(996, 1000)), (7, slice(28, 98)), (64, slice(512, 1000))):
        assert torch.equal(sharded(fields, x, cond, size, rows, **settings), whole[rows]), (
            f"batches of {size}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fixed", "adaptive", "sde"])
def test_a_unet_gives_the_same_bits_for_batches_of_1_7_64_and_130(kind):
    fields, settings = unet_fields(), FEW[kind]
    x, cond = start(130, (1, 8, 8))
    whole = sample(fields, x, cond=cond, **settings).x
    assert float((whole - x).abs().mean()) > 0.01
    for size, rows in ((1, slice(63, 65)), (7, slice(56, 70)), (64, slice(0, 130))):
        assert torch.equal(sharded(fields, x, cond, size, rows, **settings), whole[rows]), (
            f"batches of {size}"
        )


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("kind", ["fixed", "sde"])
def test_a_unet_gives_the_same_bits_for_batches_of_1000_too(kind):
    fields, settings = unet_fields(), SETTINGS[kind] | {"n_steps": 2}
    x, cond = start(1000, (1, 8, 8))
    whole = sample(fields, x, cond=cond, **settings).x
    for size, rows in ((1, slice(500, 520)), (7, slice(900, 1000)), (64, slice(0, 1000))):
        assert torch.equal(sharded(fields, x, cond, size, rows, **settings), whole[rows]), (
            f"batches of {size}"
        )


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["mlp", "unet"])
@pytest.mark.parametrize("kind", ["fixed", "adaptive", "sde"])
def test_chunks_change_no_bit(name, kind):
    make, shape = FIELDS[name]
    fields, settings = make(), FEW[kind]
    x, cond = start(150 if name == "mlp" else 75, shape)
    whole = sample(fields, x, cond=cond, **settings).x
    for chunk in (25, 64, 100):
        assert torch.equal(sample(fields, x, cond=cond, chunk=chunk, **settings).x, whole), f"chunk {chunk}"


def test_the_path_of_a_sample_is_its_own_too():
    fields, settings = mlp_fields(), SETTINGS["sde"] | {"return_path": True}
    x, cond = start(70, (2,))
    whole = sample(fields, x, cond=cond, **settings).path
    part = sample(fields, x[66:69], cond=cond[66:69], first_index=66, **settings).path
    assert torch.equal(part, whole[:, 66:69])


def test_fields_whose_rows_feel_their_batch_fall_back_to_blocks():
    """A field whose last bits feel the number of rows and the place among them: only fixed blocks can agree."""

    def leaky(x, t):
        return x * (1 + 1e-6 * (x.shape[0] + torch.arange(x.shape[0]))[:, None])

    fields = LearnedFields(Linear(), velocity=leaky, score=lambda x, t: -x)
    x, _ = start(200, (2,))
    whole = sample(fields, x, **SETTINGS["fixed"]).x
    none = torch.zeros(200)
    for size, rows in ((1, slice(60, 68)), (7, slice(0, 200)), (64, slice(0, 200))):
        assert torch.equal(sharded(fields, x, none, size, rows, **SETTINGS["fixed"]), whole[rows])
    loose = sample(fields, x, invariant=False, chunk=200, **SETTINGS["fixed"]).x
    assert not torch.equal(loose, whole)


@pytest.mark.parametrize("kind", ["fixed", "sde"])
def test_closed_forms_are_invariant_too(kind):
    rho1 = GaussianMixture.random(3, 2, 2.0, 0)
    fields = GaussianMixtureBridge(Gaussian((2,)), rho1).fields(Linear())
    x, _ = start(130, (2,))
    whole = sample(fields, x, **SETTINGS[kind]).x
    part = torch.cat(
        [sample(fields, x[i : i + 7], first_index=i, **SETTINGS[kind]).x for i in range(56, 77, 7)]
    )
    assert torch.equal(part, whole[56:77])


def test_the_probe_tells_independent_rows_from_others():
    class Owner:
        pass

    x = torch.randn(4, 3, generator=generator(0))
    assert rows_are_independent(Owner(), lambda s: torch.tanh(s), x, 256)
    assert not rows_are_independent(Owner(), lambda s: s - s.mean(0), x, 256)
    assert not rows_are_independent(Owner(), lambda s: s * (1 + 1e-7 * s.shape[0]), x, 256)


def test_the_verdict_is_asked_once_per_model():
    class Owner:
        pass

    calls = []

    def call(states):
        calls.append(states.shape[0])
        return states

    x, owner = torch.zeros(1, 3), Owner()
    rows_are_independent(owner, call, x, 256)
    before = len(calls)
    rows_are_independent(owner, call, x, 256)
    assert len(calls) == before
    assert min(calls) == VECTOR
    rows_are_independent(owner, call, torch.zeros(1, 4), 256)
    assert len(calls) > before


def test_networks_never_see_fewer_than_the_smallest_safe_batch():
    sizes = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x, t):
            sizes.append(x.shape[0])
            return self.layer(x)

    fields = LearnedFields(Linear(), velocity=Watched(), score=lambda x, t: -x)
    x, _ = start(3, (2,))
    sample(fields, x, n_steps=2)
    sizes.clear()
    sample(fields, x, n_steps=2)
    # the choice of the chunk asks the few rows once
    assert [n for n in sizes if n < SMALLEST] in ([], [3])
    assert set(sizes) <= {3, SMALLEST, BLOCK}


SCRIPT = """
import os, sys
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
import test_invariance as own
name, kind, begin, end = sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
make, shape = own.FIELDS[name]
x, cond = own.start(130, shape)
settings = own.FEW[kind]
found = own.sample(make(), x[begin:end], cond=cond[begin:end], first_index=begin, **settings).x
print(found.numpy().tobytes().hex())
"""


def in_a_process(name, kind, begin, end, threads):
    here = os.path.dirname(__file__)
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    call = [sys.executable, "-c", SCRIPT, here, name, kind, str(begin), str(end)]
    done = subprocess.run(call, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return bytes.fromhex(done.stdout.strip())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("mlp", "adaptive"), ("unet", "sde")])
def test_two_processes_give_together_what_one_gives(name, kind):
    whole = in_a_process(name, kind, 0, 130, 1)
    halves = in_a_process(name, kind, 0, 70, 1) + in_a_process(name, kind, 70, 130, 1)
    assert hashlib.sha256(halves).digest() == hashlib.sha256(whole).digest()
