import hashlib
import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import BLOCK, BlockNoise, _block_seed, generator, key, seed_torch


def test_keys_tell_their_parts_apart():
    parts = [(seed, stream, block) for seed in range(4) for stream in range(4) for block in range(4)]
    keys = {key(*part) for part in parts}
    assert len(keys) == len(parts)
    assert all(0 <= value < 2**63 for value in keys)


@pytest.mark.parametrize(("one", "other"), [((1,), (1, 0)), ((7, 2), (7, 2, 0)), ((2**32,), (0, 1))])
def test_keys_tell_tuples_of_any_length_and_size_apart(one, other):
    assert key(*one) != key(*other)


def test_keys_are_the_same_in_every_release():
    """A changed mixing would silently change the results of every written seed."""
    assert key(0) == 3717377837946358015
    assert key(7, 1, 2) == 1772466940991530086
    assert key(7, "corrector", 2) == 6615625342117957055


def test_names_and_numbers_are_different_parts():
    """A number that looks like a name, or is its hash, is still another stream; so is a name in another place."""
    hashed = int.from_bytes(hashlib.sha256(b"5").digest()[:8], "little")
    parts = [
        (0, "5"),
        (0, 5),
        (0, hashed),
        (0, "5", 0),
        (0, 0, "5"),
        ("5", 0),
        (hashed, 0),
        (0, ""),
        (0, "5", "5"),
    ]
    assert len({key(*part) for part in parts}) == len(parts)


def test_names_far_back_in_a_long_key_count_as_names():
    long = tuple(range(70))
    assert key(*long, "5") != key(*long, int.from_bytes(hashlib.sha256(b"5").digest()[:8], "little"))


def test_a_negative_seed_is_refused():
    with pytest.raises(InvalidInputError, match=r"integer in \[0, 2\^64\), got \(3, -1\)"):
        key(3, -1)


def test_streams_with_names_are_uncorrelated():
    """Five standard errors of a correlation of independent draws."""
    count = 20_000
    rows = [
        BlockNoise(3, (name,), count=count, shape=()).normal()
        for name in ("start", "brownian", "Start", "start2")
    ]
    found = torch.corrcoef(torch.stack(rows)) - torch.eye(4)
    assert found.abs().max() < 5 / math.sqrt(count)


def test_generators_with_equal_parts_agree_and_others_do_not():
    a, b, c = (torch.randn(4, generator=generator(*parts)) for parts in ((1, 2), (1, 2), (2, 1)))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("draw", ["normal", "rademacher", "uniform"])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 7), (63, 2), (64, 64), (100, 150)])
def test_a_sample_sees_the_same_draws_in_any_batch(draw, first, count):
    everyone = BlockNoise(3, (1,), count=300, shape=(2, 3))
    some = BlockNoise(3, (1,), first=first, count=count, shape=(2, 3))
    for _ in range(3):
        assert torch.equal(getattr(everyone, draw)()[first : first + count], getattr(some, draw)())


def test_large_rows_are_drawn_alone_and_are_the_same_in_any_batch():
    """64 draws for one row would cost more than the network that reads it."""
    shape = (2, 2**14)
    everyone, one = (
        BlockNoise(3, (1,), count=70, shape=shape),
        BlockNoise(3, (1,), first=66, count=1, shape=shape),
    )
    for _ in range(2):
        every, alone = everyone.normal(), one.normal()
        assert torch.equal(alone[0], every[66])
        assert not torch.equal(every[0], every[1])
    assert one.uniform().shape == (1, *shape)
    assert one.normal().untyped_storage().nbytes() == 4 * 2**15  # of one row, not of 64


def test_a_few_rows_do_not_keep_the_memory_of_their_block():
    noise = BlockNoise(3, (1,), count=2, shape=(64, 64))
    for kind in ("normal", "uniform", "rademacher"):
        assert getattr(noise, kind)().untyped_storage().nbytes() == 4 * 2 * 64 * 64, kind


@pytest.mark.parametrize(("size", "draws"), [(3, 1), (3, 40), (64 * 64, 1)])
def test_a_scale_multiplies_the_draw(size, draws):
    """Whether draws are made one by one, some ahead or all at once."""
    plain, scaled = (BlockNoise(3, (1,), count=70, shape=(size,)) for _ in range(2))
    for noise in (plain, scaled):
        noise.expect(draws)
    for scale in (0.3, 2.0):
        assert torch.equal(scaled.normal(scale), plain.normal() * scale)


def test_streams_seeds_blocks_and_draws_differ():
    rows = [
        BlockNoise(3, (1,), count=2 * BLOCK, shape=(4,)).normal(),
        BlockNoise(3, (2,), count=2 * BLOCK, shape=(4,)).normal(),
        BlockNoise(4, (1,), count=2 * BLOCK, shape=(4,)).normal(),
    ]
    again = BlockNoise(3, (1,), count=2 * BLOCK, shape=(4,))
    again.normal()
    rows.append(again.normal())
    assert len(torch.cat(rows).unique(dim=0)) == 4 * 2 * BLOCK


def test_draws_have_the_moments_of_their_distribution():
    count = 200_000
    source = BlockNoise(0, (0,), count=count, shape=(), dtype=torch.float64)
    normal, signs, uniform = source.normal(), source.rademacher(), source.uniform()
    bound = 5 / math.sqrt(count)  # five standard errors of a mean of unit variance
    assert abs(normal.mean()) < bound
    assert abs(normal.square().mean() - 1) < math.sqrt(2) * bound
    assert abs(normal.pow(4).mean() - 3) < math.sqrt(96) * bound
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < bound
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < bound / math.sqrt(12)


def test_a_draw_may_be_kept_and_overwritten():
    source = BlockNoise(1, (0,), count=3, shape=(2,))
    first = source.normal()
    kept = first.clone()
    second = source.normal()
    assert torch.equal(first, kept)
    first.zero_()
    assert second.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_draws_have_the_dtype_asked_for_and_low_precision_rounds_float32(dtype):
    draw = BlockNoise(1, (0,), count=5, shape=(2,), dtype=dtype).normal()
    assert draw.dtype == dtype
    if dtype != torch.float64:
        assert torch.equal(draw, BlockNoise(1, (0,), count=5, shape=(2,)).normal().to(dtype))


@pytest.mark.parametrize("accelerator", [False, True])
def test_pytorchs_own_generator_is_seeded_as_by_itself(accelerator, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    seeds = []
    monkeypatch.setattr(
        torch, "manual_seed", lambda seed, real=torch.manual_seed: [seeds.append(seed), real(seed)]
    )
    wanted = torch.randn(4, generator=torch.Generator().manual_seed(2**61 + 7))
    with torch.random.fork_rng([]):
        seed_torch(2**61 + 7)
        assert torch.equal(torch.randn(4), wanted)
    assert seeds == ([2**61 + 7] if accelerator else [])  # which seeds accelerators too


def test_global_random_state_is_untouched():
    before = torch.get_rng_state()
    BlockNoise(1, (0,), count=5, shape=(2,)).normal()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("first", "count"), [(-1, 3), (0, 0)])
def test_impossible_ranges_are_refused(first, count):
    with pytest.raises(InvalidInputError, match=r"(first_index|count) must be a whole number >= "):
        BlockNoise(0, (0,), first=first, count=count, shape=(1,))


def test_blocks_of_a_stream_have_different_seeds_in_the_32_bits_that_torch_reads():
    base = key(3, 1)
    seeds = {_block_seed(base, block) for block in range(200_000)}
    assert len(seeds) == 200_000
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (2,), (3, 5)])
def test_draws_that_were_announced_have_the_same_values(shape, dtype):
    """Also past the announced number, and where the announcement is too large to be followed."""

    def draws(expected):
        noise = BlockNoise(3, (1,), first=50, count=40, shape=shape, dtype=dtype)
        if expected:
            noise.expect(expected)
        return torch.stack([noise.normal() for _ in range(45)])

    plain = draws(None)
    for expected in (7, 40, 45, 10**9):
        assert torch.equal(draws(expected), plain)
