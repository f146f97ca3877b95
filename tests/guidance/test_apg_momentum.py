"""Momentum of projected guidance against the published loop, written out."""

import pytest
import torch
from torch.testing import assert_close
from torture.bits import worn

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.guidance import APG, APGMomentum, ClassifierFree, with_strength
from interpolants.nets import MLP
from interpolants.paths import VP, OneSidedLinear

N = 100


def fields(path=None, head="velocity"):
    net = worn(MLP(3, cond_dim=2, width=16, depth=2, seed=0)).eval()
    return LearnedFields(OneSidedLinear() if path is None else path, **{head: net})


def states():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, 3, generator=generator), torch.randn(N, 2, generator=generator)


def published(model, x, cond, n, w, momentum, radius):
    """Euler steps on the linear path, all in the space of the clean estimate."""
    running = torch.zeros_like(x)
    for k in range(n):
        t = torch.tensor(k / n)
        given = model.denoised(x, t, cond)
        running = given - model.denoised(x, t, torch.full_like(cond, torch.nan)) + momentum * running
        size = running.norm(dim=1, keepdim=True)
        used = running * (radius / size).clamp_max(1.0)
        used = used - (used * given).sum(1, keepdim=True) / given.square().sum(1, keepdim=True) * given
        x = x + (given + (w - 1) * used - x) / (1 - t) / n
    return x


@pytest.mark.parametrize("momentum", [0.0, -0.5, 0.4])
def test_euler_steps_are_those_of_the_published_loop(momentum):
    model, (x, cond) = fields(), states()
    guided, how = APG(model, 3.0, radius=0.5), {"cond": cond, "method": "euler", "n_steps": 8}
    found = sample(guided, x, modifiers=APGMomentum(momentum), **how).x
    assert_close(found, published(model, x, cond, 8, 3.0, momentum, 0.5), rtol=1e-4, atol=1e-4)
    plain = sample(guided, x, **how).x
    assert torch.equal(found, plain) if momentum == 0 else (found - plain).abs().max() > 1e-2


@pytest.mark.parametrize(("path", "head"), [(OneSidedLinear(), "velocity"), (VP(), "noise")])
@pytest.mark.parametrize("how", [{"method": "heun"}, {"eps": 0.5, "seed": 1}, {"finish": "denoise"}])
def test_one_update_per_step_and_chunks_equal_to_the_bit(path, head, how):
    model, (x, cond) = APG(fields(path, head), 3.0), states()
    how = {"n_steps": 6, "modifiers": APGMomentum(), **how}
    whole = sample(model, x, cond=cond, **how)
    assert bool(whole.x.isfinite().all())
    assert whole.reports[0]["updates"].unique().tolist() == [6]
    halves = [
        sample(model, x[part], cond=cond[part], first_index=part.start, **how).x
        for part in (slice(0, 50), slice(50, 100))
    ]
    assert torch.equal(torch.cat(halves), whole.x)
    assert torch.equal(sample(model, x, cond=cond, chunk=64, **how).x, whole.x)
    assert torch.equal(sample(model, x, cond=cond, **how).x, whole.x)  # nothing stays from run to run


def test_momentum_has_no_part_at_the_end_where_its_rate_diverges():
    model, (x, cond) = fields(), states()
    how = {"cond": cond, "method": "heun", "n_steps": 4}
    found = sample(APG(model, 3.0), x, modifiers=APGMomentum(0.4), **how).x
    # Heun's last stage is evaluated at the very end; a weak momentum stays near none.
    plain = sample(APG(model, 3.0), x, **how).x
    small = sample(APG(model, 3.0), x, modifiers=APGMomentum(1e-4), **how).x
    assert float((small - plain).abs().max()) < 1e-2
    assert float((found - plain).abs().max()) < 100


def test_a_strength_per_row_follows_its_row():
    model, (x, cond) = fields(), states()
    strengths = torch.arange(N) % 3 + 1.0
    how = {"n_steps": 5, "modifiers": APGMomentum()}
    mixed = sample(APG(model), x, cond=with_strength(cond, strengths), **how).x
    for w in (1.0, 2.0, 3.0):
        alone = sample(APG(model, w), x, cond=cond, **how).x
        assert_close(mixed[strengths == w], alone[strengths == w], rtol=1e-4, atol=1e-5)


def test_what_it_cannot_change_is_refused():
    x, cond = states()
    with pytest.raises(InvalidInputError, match="modifiers need fixed steps"):
        sample(APG(fields()), x, cond=cond, modifiers=APGMomentum(), method="dopri5")
    for model in (fields(), ClassifierFree(fields())):
        with pytest.raises(
            InvalidInputError, match="must fit the fields: it continues the differences of guid"
        ):
            sample(model, x, cond=cond, modifiers=APGMomentum())
    with pytest.raises(InvalidInputError, match="momentum must"):
        APGMomentum(momentum=-1.0)
