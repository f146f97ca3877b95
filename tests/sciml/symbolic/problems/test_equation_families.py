import re

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.problems.dynamical_systems import DynamicalSystem
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies

SMALL = {"points": 9, "later": 12, "window": 0.4, "end": 1.0}


def test_trajectories_solve_the_equations_that_are_told_with_them():
    drawn = EquationFamilies(systems=("lorenz", "thomas", "oscillator"), **SMALL).draw(7, 2, seed=0)
    assert len(drawn) == 14
    assert len(drawn.systems) == 7
    for equation, trees in enumerate(drawn.trees):
        rows = drawn.equation == equation
        values, (times, others) = drawn.values[rows], drawn.times[rows]
        d = len(trees)
        assert drawn.dims[rows].tolist() == [d, d]
        assert torch.equal(times, others)
        own = DynamicalSystem(name="told", rates=tuple(map(str, trees)), step=0.002)
        again = own.trajectories(values[:, 0, :d], times)
        assert_close(again, values[:, :, :d], rtol=1e-5, atol=5e-5)
        assert not values[:, :, d:].any()


def test_noise_has_the_stated_size_over_the_whole_trajectory_and_labels_are_clean():
    families = EquationFamilies(noise=0.02, **SMALL)
    noisy = EquationFamilies(noise=0.02, noisy_labels=True, **SMALL).draw(4, 1, seed=0)
    drawn = families.draw(4, 1, seed=0)
    assert_close(drawn.labels, drawn.values[:, 9:])
    whole = torch.cat([noisy.window, noisy.labels], 1)
    share = (whole - noisy.values).flatten(1).norm(dim=1) / noisy.values.flatten(1).norm(dim=1)
    assert_close(share, torch.full((4,), 0.02, dtype=torch.float64))


def test_no_equation_is_in_both_parts_and_draws_repeat():
    families = EquationFamilies(systems=("thomas",), **SMALL)
    train, test = (set(families.draw(150, 1, seed=0, part=part).systems) for part in ("train", "test"))
    assert train
    assert test
    assert not train & test
    assert families.draw(3, 1, seed=1).systems == families.draw(3, 1, seed=1).systems
    assert families.draw(3, 1, seed=1).systems != families.draw(3, 1, seed=1, name="other").systems


def test_irregular_times_increase_from_zero_and_part_at_the_window():
    drawn = EquationFamilies(irregular=True, **SMALL).draw(4, 2, seed=0)
    assert bool((drawn.times.diff(dim=1) >= 0).all())
    assert not drawn.times[:, 0].any()
    assert bool((drawn.times[:, 8] <= 0.4).all())
    assert bool((drawn.times[:, 9] >= 0.4).all())
    assert len(set(drawn.times[:, 5].tolist())) == 8


@pytest.mark.parametrize(("ranges", "low", "high"), [({}, 1.8, 2.2), ({"k": (0.5, 4.0)}, 0.5, 4.0)])
def test_parameters_are_uniform_within_their_spread_or_their_range(ranges, low, high):
    own = DynamicalSystem(name="own", rates=("-(k*u1)",), parameters={"k": 2.0}, ranges=ranges)
    texts = EquationFamilies(systems=(own,), **SMALL).draw(200, 1, seed=0).systems
    found = torch.tensor([float(re.search(r"\d+\.\d+", text).group()) for text in texts])
    share = (found.sort().values - low) / (high - low)
    assert (
        float((share - (torch.arange(200) + 0.5) / 200).abs().max()) < 1.95 / 200**0.5
    )  # Kolmogorov, 1 in 1000


def test_trajectories_that_run_away_are_drawn_again_and_counted():
    edge = DynamicalSystem(name="edge", rates=("u1*u1",), start=((-1.0, 1.5),))
    drawn = EquationFamilies(systems=(edge,), **SMALL).draw(40, 1, seed=0)
    assert drawn.rejected > 0
    assert bool((drawn.values.abs() <= 1000).all())
    away = DynamicalSystem(name="away", rates=("u1*u1",), start=((5.0, 6.0),))
    with pytest.raises(DivergedError, match="3 of 3 trajectories of away leave"):
        EquationFamilies(systems=(away,), **SMALL).draw(3, 1, seed=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"systems": ("lorentz",)}, "Did you mean 'lorenz'"),
        ({"systems": ()}, "systems must have at least one entry"),
        ({"end": 1.0}, "end must be finite and > 2"),
    ],
)
def test_bad_settings_are_refused(given, said):
    with pytest.raises(InvalidInputError, match=said):
        EquationFamilies(**given)


def test_one_equation_is_in_one_part_and_the_other_part_is_refused():
    families = EquationFamilies(systems=("lorenz",), spread=0.0, **SMALL)
    assert families.draw(2, 1, seed=0).systems == 2 * [
        "10.0*(u2 - u1) | u1*(28.0 - u3) - u2 | u1*u2 - 2.67*u3"
    ]
    with pytest.raises(
        InvalidInputError, match=r"lorenz must vary enough .* none of 500 draws is a test equation"
    ):
        families.draw(1, 1, seed=0, part="test")


def test_hopeless_starts_are_refused_after_as_many_as_tell(monkeypatch):
    """Every start runs away at once: 2000 trajectories took 20 rounds of all their steps, minutes in all."""
    away = DynamicalSystem(name="away", rates=("k*u1*u1",), parameters={"k": 1.0}, start=((50.0, 60.0),))
    steps = []
    stepped = DynamicalSystem._stepped
    monkeypatch.setattr(
        DynamicalSystem, "_stepped", lambda self, *given: steps.append(1) or stepped(self, *given)
    )
    with pytest.raises(
        DivergedError, match=r"1000 of 1000 trajectories of away leave .* from all of 1000 starts"
    ):
        EquationFamilies(systems=(away,)).draw(500, 2, seed=0)
    assert len(steps) < 20


def test_slow_hopeless_starts_are_refused_after_one_round(monkeypatch):
    """All starts end beyond the allowed size, late: no more rounds than tell that none stays."""
    away = DynamicalSystem(name="away", rates=("k",), parameters={"k": 1.0}, start=((995.0, 996.0),))
    rounds = []
    starts = DynamicalSystem.starts
    monkeypatch.setattr(
        DynamicalSystem, "starts", lambda self, *a, **k: rounds.append(1) or starts(self, *a, **k)
    )
    with pytest.raises(DivergedError, match="70 of 70 trajectories of away leave"):
        EquationFamilies(systems=(away,), points=4, later=4).draw(35, 2, seed=0)
    assert len(rounds) == 1
