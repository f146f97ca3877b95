"""A latent generator for laws on thin sets: the curve in space, its codimension, its refusals."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.framework.capabilities import NotAbleError
from interpolants.generative.latent_generator.latent_generator import LatentGenerator
from interpolants.likelihood import compare_log_prob
from interpolants.metrics import codimension_slope
from interpolants.problems import ClosedCurve
from interpolants.training.instance_noise import InstanceNoise

FAST = {"steps": 60, "batch_size": 64, "first_noise": 0.5}


def curve(n, seed=0):
    return ClosedCurve().sample(n, generator=torch.Generator().manual_seed(seed)).float()


def test_samples_are_those_of_the_decoder_and_do_not_depend_on_the_batch():
    model = LatentGenerator(2, **FAST).fit(curve(200))
    whole = model.sample(200, seed=3)
    assert torch.equal(model.sample(20, seed=3, first_index=100), whole[100:120])
    assert model.perturb.std == 0.1


@pytest.mark.slow
def test_the_encoder_inverts_the_decoder_roughly_where_there_is_one():
    model = LatentGenerator(1, steps=600, batch_size=64, noise=0.1, perturb=0.1).fit(curve(500))
    z = torch.linspace(-1, 1, 9)[:, None]
    found = model.encode(model.decode(z).numpy())
    assert isinstance(found, np.ndarray)
    assert np.abs(found - z.numpy()).max() < 0.5
    with pytest.raises(NotAbleError, match="by quadrature there is no encoder"):
        LatentGenerator(1, estimator="quadrature", **FAST).fit(curve(50)).encode(curve(3))


def test_densities_are_in_data_units():
    """Data times ten: log densities fall by 3 log 10, the model's relative noise stays."""
    x = curve(200)
    models = [LatentGenerator(1, seed=1, **FAST).fit(k * x) for k in (1.0, 10.0)]
    values = [m.log_prob(k * x, points=64) for m, k in zip(models, (1.0, 10.0), strict=True)]
    assert_close(values[0] - values[1], torch.full((200,), 3 * math.log(10)), atol=0.1, rtol=0)
    assert torch.equal(models[0].log_density(x).error, torch.zeros(200))
    levels = [m.noise_level for m in models]
    assert levels[1] == pytest.approx(10 * levels[0])
    with pytest.raises(InvalidInputError, match="at one noise level"):
        compare_log_prob(*(m.log_density(x) for m in models))


def test_images_keep_their_shape():
    x = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = LatentGenerator(3, perturb=InstanceNoise(0.2, fresh=False), **FAST).fit(x)
    assert model.sample(7).shape == (7, 1, 4, 4)
    assert model.log_prob(x).shape == (50,)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "latent": 2,
            "hidden": (16, 8),
            "perturb": InstanceNoise(0.2, fresh=False, seed=3),
            "scale": "columns",
        },
        {"latent": 1, "estimator": "quadrature", "prior": "uniform", "noise": 0.3, "points": 32},
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_saved_and_read_back_to_the_bit_and_fitted_again(settings, dtype, tmp_path):
    x = curve(100).to(dtype)
    model = LatentGenerator(**settings, seed=2, steps=10, batch_size=32, first_noise=0.5).fit(x)
    again = LatentGenerator.load(model.save(tmp_path / "model"))
    assert torch.equal(again.sample(9), model.sample(9))
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    assert again.noise_level == model.noise_level
    assert again.s == model.s
    assert again.history == model.history
    assert torch.equal(again.fit(x[:50]).sample(9), model.fit(x[:50]).sample(9))


def test_only_what_is_fitted_is_saved(tmp_path):
    with pytest.raises(InvalidInputError, match=r"LatentGenerator\.save: the model must be fitted"):
        LatentGenerator().save(tmp_path / "none")


def test_a_killed_fit_resumes_to_the_same_bits(tmp_path):
    few = {"steps": 6, "batch_size": 16, "checkpoint_every": 2, "first_noise": 0.5}
    wanted = LatentGenerator(1, **few).fit(curve(50))

    class KilledError(Exception):
        pass

    def kill(stage, k, steps):
        if k == 3:
            raise KilledError

    with pytest.raises(KilledError):
        LatentGenerator(1, **few).fit(curve(50), out=tmp_path, watch=kill)
    again = LatentGenerator(1, **few).fit(curve(50), out=tmp_path, resume=True)
    assert stored.fingerprint(again.state) == stored.fingerprint(wanted.state)


def test_a_fixed_noise_stays():
    model = LatentGenerator(1, noise=0.2, **FAST).fit(curve(100))
    assert model.s == pytest.approx(0.2)


@pytest.mark.slow  # two fits of 2,000 steps, about 8 s each
def test_the_codimension_of_a_curve_in_space_is_two():
    """n = 500, 1-64-64-3, 256 points, 2,000 steps, noise 0.05 and 0.1: D - d = 2, s the noise, samples on the curve."""
    x = curve(500)
    unit = float(x.std(0).square().mean().sqrt())
    levels, likelihoods = (0.05, 0.1), []
    for level in levels:
        options = {"estimator": "quadrature", "prior": "uniform"}
        train = {"steps": 2000, "batch_size": 250}
        model = LatentGenerator(1, perturb=level / unit, **train, **options).fit(x)
        source = torch.Generator().manual_seed(2)
        scored = model.log_density(
            InstanceNoise(level).draw(curve(4000, seed=1), generator=source), points=2000
        )
        assert scored.noise_level == pytest.approx(level)
        likelihoods.append(float(scored.log_prob.mean()))
        assert model.s * unit == pytest.approx(level, rel=0.1)
        made = model.sample(1000)
        assert float((made[:, :2].norm(dim=1) - 1).abs().mean()) < 0.02
        assert float((made[:, 2] - made[:, 0].square() + 0.5).abs().mean()) < 0.03
    assert codimension_slope(levels, likelihoods).value == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_of_the_data_is_kept(dtype):
    for options in ({"estimator": "quadrature", "points": 16}, {}):
        model = LatentGenerator(1, **FAST, **options).fit(curve(100).to(dtype))
        assert model.sample(3).dtype == dtype
        assert model.log_prob(curve(5).to(dtype)).dtype == dtype


@pytest.mark.parametrize("other", [torch.float32, torch.float64])
def test_points_of_another_type_are_taken(other):
    dtype = torch.float64 if other == torch.float32 else torch.float32
    model = LatentGenerator(1, **FAST).fit(curve(100).to(dtype))
    x = curve(5).float()
    found = model.log_prob(x.to(other))
    assert_close(found.to(dtype), model.log_prob(x.to(dtype)))
    assert found.dtype == other


def test_a_fit_that_is_refused_changes_nothing():
    model = LatentGenerator(2, **FAST).fit(curve(100))
    made = model.sample(3)
    for x in (torch.randn(9, 1, generator=torch.Generator().manual_seed(0)), torch.ones(9, 3)):
        with pytest.raises(InvalidInputError):
            model.fit(x)
    assert torch.equal(model.sample(3), made)


def test_latents_that_say_nothing_are_told():
    """A bound of one draw, with a start above the spread: the decoder learns the mean alone, and s the spread."""
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match=r"the noise s = 1\.\d+ is the whole spread of the data"):
        LatentGenerator(2, points=1, steps=150, batch_size=64, lr=1e-2).fit(x)


@pytest.mark.parametrize("noise", [None, 0.3])
def test_where_a_learnt_noise_starts_can_be_chosen(noise):
    model = LatentGenerator(1, noise=noise, first_noise=0.7, steps=1, batch_size=8, lr=1e-9).fit(curve(50))
    assert model.s == pytest.approx(0.7 if noise is None else noise, rel=1e-3)


def test_steps_are_of_the_run_where_the_rate_decays_over_them():
    """The schedule is chosen by the estimator: only one that is constant may be trained longer."""
    assert "steps" not in LatentGenerator(1).identity()
    assert "steps" in LatentGenerator(1, estimator="quadrature").identity()


def test_the_rate_suits_the_estimator_and_can_be_set():
    by_grid = LatentGenerator(1, estimator="quadrature")
    assert (by_grid.training().lr, LatentGenerator(2).training().lr) == (1e-2, 2e-3)
    assert LatentGenerator(1, estimator="quadrature", lr=0.5).training().lr == 0.5


def test_an_unbounded_likelihood_is_said():
    with pytest.warns(UserWarning, match="the likelihood of a distribution on a thin set is unbounded"):
        LatentGenerator(1, perturb=0.0, **FAST).fit(curve(100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatentGenerator(1, perturb=-0.1), "std must be finite and >= 0, got -0.1"),
        (
            lambda: LatentGenerator(4).fit(curve(10)),
            "latent must be at most 3, the entries of a sample, got 4",
        ),
        (lambda: LatentGenerator(1).fit(x1=curve(10), x0=curve(10)), "must be a role of this method"),
        (
            lambda: LatentGenerator(1).fit(torch.full((9, 2), math.nan)),
            "x1 must be finite",
        ),
        (
            lambda: LatentGenerator(1, scale="columns").fit(torch.tensor([[0.0, 1], [1.0, 1], [2.0, 1]])),
            r"no column may be constant .* got columns \[1\]",
        ),
        (lambda: LatentGenerator(1).fit(torch.ones(9, 2)), "the samples must differ"),
        (lambda: LatentGenerator(1).sample(3), "the model must be fitted"),
        (lambda: LatentGenerator(1, stps=3), "Did you mean 'steps'"),
        (
            lambda: LatentGenerator(1, **FAST).fit(curve(50)).log_prob(torch.zeros(4, 2)),
            r"event shape the model was fitted to, \(3,\), got \(2,\)",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_units_of_the_data_change_no_density_but_by_their_volume():
    """A power of two changes no bit of the training."""
    x = curve(200)[:, :1]
    one, other = (LatentGenerator(1, **FAST).fit(k * x) for k in (1.0, 1024.0))
    assert_close(other.log_prob(1024 * x[:9]), one.log_prob(x[:9]) - math.log(1024))
    mass = one.log_prob(torch.linspace(-6, 6, 1201)[:, None]).exp().sum() * 0.01
    assert float(mass) == pytest.approx(1, abs=0.1)  # a bound on the density, which is nearly one
    assert other.noise_level == pytest.approx(1024 * one.noise_level)
    assert one.noise_level == pytest.approx(0.1 * float(x.std()), rel=0.01)


def test_columns_of_any_size_have_their_own_scale(generator):
    x = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    sizes = torch.tensor([1e6, 1e-6], dtype=torch.float64)
    plain, sized = (
        LatentGenerator(1, scale="columns", noise=0.5, steps=2).fit(u * x).sample(5) for u in (1.0, sizes)
    )
    assert_close(sized / sizes, plain)
