import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import memorisation, pairwise


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(seed, n, width=4):
    return torch.randn(n, width, generator=seeded(seed), dtype=torch.float64)


def test_fresh_samples_are_no_closer_than_held_out_ones():
    found = memorisation(draw(0, 800), draw(1, 500), draw(2, 600))
    assert abs(found.closer.value - 0.5) < 4 * found.closer.error
    assert found.closer.error < 0.02


@pytest.mark.parametrize("width", [4, 100])
def test_copies_are_found_exactly_and_named(width):
    training = draw(3, 300, width) + 1000
    chosen = torch.randperm(300, generator=seeded(4))[:50]
    found = memorisation(training[chosen], training, draw(5, 80, width) + 1000)
    assert torch.equal(found.generated, torch.zeros(50, dtype=torch.float64))
    assert torch.equal(found.neighbour, chosen)
    assert found.closer.value == 1


def test_samples_far_from_the_data_score_zero():
    assert memorisation(draw(6, 50) + 50, draw(7, 100), draw(8, 50)).closer.value == 0


@pytest.mark.parametrize("pairs", [1, 2**20])
def test_distances_are_to_the_nearest_training_sample(monkeypatch, pairs):
    monkeypatch.setattr(pairwise, "_PAIRS", pairs)
    made, training, unseen = draw(9, 30), draw(10, 40), draw(11, 20)
    found = memorisation(made.reshape(30, 2, 2), training.reshape(40, 2, 2), unseen.reshape(20, 2, 2))
    table = (made[:, None] - training).norm(dim=2)
    assert_close(found.generated, table.min(1).values)
    assert torch.equal(found.neighbour, table.argmin(1))
    assert_close(found.held_out, (unseen[:, None] - training).norm(dim=2).min(1).values)
    wins = (found.generated[:, None] < found.held_out).double().mean()
    assert found.closer.value == pytest.approx(float(wins))


def test_a_tie_counts_half():
    training = torch.tensor([[0.0], [10.0]])
    found = memorisation(torch.tensor([[1.0], [2.0]]), training, torch.tensor([[2.0], [11.0]]))
    # distances 1, 2 against 2, 1: one win, one loss, two ties
    assert found.closer.value == 0.5
    assert memorisation(training + 1, training, training + 1).closer.value == 0.5


def test_error_is_the_spread_over_repetitions():
    generator, training = seeded(12), draw(13, 200)
    runs = [
        memorisation(
            0.7 * torch.randn(80, 4, generator=generator, dtype=torch.float64),
            training,
            torch.randn(50, 4, generator=generator, dtype=torch.float64),
        ).closer
        for _ in range(300)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert 0.85 < claimed / spread < 1.18


@pytest.mark.parametrize(("made", "unseen"), [(400, 40), (40, 400)])
def test_the_error_for_even_distances_is_that_of_ranks(made, unseen):
    """Mann and Whitney: variance (1 / G + 1 / H) / 12 where both sets are alike."""
    training = torch.tensor([[0.0], [1000.0]], dtype=torch.float64)
    first, second = (((torch.arange(n) + 0.5) / n).double()[:, None] for n in (made, unseen))
    found = memorisation(first, training, second).closer
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(((1 / made + 1 / unseen) / 12) ** 0.5, rel=0.02)


def test_shapes_must_fit_the_training_set():
    with pytest.raises(InvalidInputError, match="same event shape"):
        memorisation(draw(14, 9, 3), draw(15, 9), draw(16, 9))
    with pytest.raises(InvalidInputError, match="same event shape"):
        memorisation(draw(14, 9), draw(15, 9), draw(16, 9, 3))
