"""Bits in any batch, for networks of odd widths whose layers have all been trained, own networks and U-Nets."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torture.bits import WAYS, fields_of, worn

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.invariance import SMALLEST, VECTOR, fewest_rows, most_rows, rows_are_independent
from interpolants.foundations.randomness import BLOCK, generator
from interpolants.likelihood import log_prob
from interpolants.nets import UNet
from interpolants.paths import Linear, OneSidedLinear

# fewer steps than those of the torture: bits that differ do so in any of them
RUNS = {**WAYS, "adaptive": {"method": "dopri5", "rtol": 1e-2, "atol": 1e-2}}


def check(fields, x, way, sizes):
    whole = sample(fields, x, **RUNS[way]).x
    for size, first, last in sizes:
        parts = [
            sample(fields, x[i : min(i + size, last)], first_index=i, **RUNS[way]).x
            for i in range(first, last, size)
        ]
        assert torch.equal(torch.cat(parts), whole[first:last]), f"{way} in batches of {size}"


@pytest.mark.cases(2)
@pytest.mark.parametrize("width", [50, 100, 257])
@pytest.mark.parametrize("kind", ["mlp", "own"])
@pytest.mark.parametrize("way", RUNS)
def test_odd_widths_give_the_same_bits_in_any_batch(kind, width, way):
    x = torch.randn(300, 2, generator=generator(1))
    check(
        fields_of(kind, width), x, way, [(1, 62, 66), (7, 42, 70), (33, 0, 99), (100, 0, 300), (200, 13, 213)]
    )


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    width=st.integers(1, 300),
    way=st.sampled_from(sorted(RUNS)),
    kind=st.sampled_from(["mlp", "own"]),
    size=st.integers(1, 150),
    first=st.integers(0, 60),
)
def test_any_width_in_any_batch(width, way, kind, size, first):
    x = torch.randn(150, 2, generator=generator(width))
    check(fields_of(kind, width), x, way, [(size, first, min(150, first + 3 * size))])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fixed", "adaptive"])
def test_a_unet_of_odd_width_does_so_too(way):
    net = worn(UNet((1, 8, 8), channels=10, blocks=1, heads=2))
    fields = LearnedFields(Linear(), joint=net, heads=("velocity", "noise"))
    check(fields, torch.randn(70, 1, 8, 8, generator=generator(1)), way, [(1, 64, 66), (7, 56, 70)])


@pytest.mark.slow
@pytest.mark.parametrize("width", [17, 50])
def test_log_densities_do_so_too(width):
    fields, base = fields_of("mlp", width), Gaussian((2,))
    x = torch.randn(150, 2, generator=generator(1))
    few = {"rtol": 1e-3, "atol": 1e-3}
    whole = log_prob(fields, x, base, **few).log_prob
    for size, first, last in [(1, 62, 66), (7, 42, 70), (100, 0, 150)]:
        parts = [
            log_prob(fields, x[i : min(i + size, last)], base, first_index=i, **few).log_prob
            for i in range(first, last, size)
        ]
        assert torch.equal(torch.cat(parts), whole[first:last]), f"batches of {size}"


def chunks_of(net, x, **options):
    return Chunks(net, lambda s, c: net(s), x, None, networks=[net], first_index=5, invariant=True, **options)


def test_blocks_of_64_have_one_shape_and_each_row_its_place():
    net, x = nn.Linear(2, 2), torch.arange(400.0).reshape(200, 2)
    for chunk in chunks_of(net, x, chunk=BLOCK):
        assert len(chunk.x) == BLOCK
        assert chunk.first % BLOCK == 0
        assert torch.equal(chunk.x[chunk.own], x[chunk.rows])


@pytest.mark.parametrize("chunk", [None, 25, 100, 200])
def test_calls_have_few_rows_or_a_multiple_of_64(chunk):
    net, x = nn.Linear(2, 2), torch.arange(600.0).reshape(300, 2)
    sizes = {len(part.x) for part in chunks_of(net, x, chunk=chunk)}
    assert all(size == SMALLEST or size % BLOCK == 0 for size in sizes), sizes


def test_a_layer_that_feels_its_batch_is_found_behind_a_last_layer_of_zeros():
    class Shy(nn.Module):
        def forward(self, x):
            return x * (1 + 1e-6 * len(x))

    net = nn.Sequential(Shy(), nn.Linear(3, 3))
    nn.init.zeros_(net[1].weight)
    x = torch.randn(4, 3, generator=generator(0))
    assert not rows_are_independent(net, net, x, 256, networks=[net])


def test_a_verdict_ends_with_the_weights_it_was_found_for():
    net, x, calls = nn.Linear(3, 3), torch.randn(4, 3, generator=generator(0)), []

    def call(states):
        calls.append(len(states))
        return net(states)

    rows_are_independent(net, call, x, 256, networks=[net])
    before = len(calls)
    rows_are_independent(net, call, x, 256, networks=[net])
    assert len(calls) == before
    with torch.no_grad():
        net.weight.mul_(2)
    rows_are_independent(net, call, x, 256, networks=[net])
    assert len(calls) > before


def test_more_threads_and_half_precision_take_smaller_and_whole_blocks(monkeypatch):
    x = torch.zeros(1, 2)
    assert (fewest_rows(x, {2, 100}), most_rows(x, 100)) == (SMALLEST, None)
    assert fewest_rows(x, {2, 101}) == VECTOR
    assert fewest_rows(x.half(), {100}) == BLOCK
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert (fewest_rows(x, {100}), most_rows(x, 100)) == (SMALLEST, 320)
    assert (fewest_rows(x, {1000}), most_rows(x, 1000)) == (BLOCK, BLOCK)


def test_a_verdict_outlives_the_fields_that_asked_for_it_and_is_anothers_for_another_quantity():
    net, calls = nn.Linear(2, 2), []
    net.register_forward_pre_hook(lambda *_: calls.append(1))

    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, t, cond=None):
            return self.net(x)

    timed, x = Timed(), torch.randn(4, 2, generator=generator(0))

    def count(**given):
        calls.clear()
        sample(LearnedFields(OneSidedLinear(), **given), x, n_steps=2)
        return len(calls)

    first, second, other = count(velocity=timed), count(velocity=timed), count(noise=timed)
    assert second == 4  # the steps: the sizes of layers are remembered too
    assert min(first, other) > 2 * second


def test_what_is_remembered_of_a_network_is_asked_anew_when_its_weights_change():
    class Counting(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2)

        def forward(self, x, t, cond=None):
            Counting.calls += 1
            return self.net(x)

    net, x = Counting(), torch.randn(4, 2, generator=generator(0))

    def count():
        Counting.calls = 0
        sample(LearnedFields(OneSidedLinear(), velocity=net), x, n_steps=1)
        return Counting.calls

    assert count() > count() == 2  # the two stages of a step
    with torch.no_grad():
        net.net.weight.add_(1.0)
    assert count() > 2
