"""Methods that learn from a fitted model: names of labels mean in the second fit what they meant in the first."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Bridge, FewStep, FlowMap, Imported, PriorRestoration

NET = {"kind": "mlp", "width": 32, "depth": 2}
NAMES = np.array(["cat", "dog", "fox"])[np.random.default_rng(0).integers(0, 3, 500)]
CENTRES = {"cat": (0.0, 0.0), "dog": (4.0, 0.0), "fox": (0.0, 4.0)}
X = torch.tensor([CENTRES[name] for name in NAMES]) + 0.2 * torch.randn(
    500, 2, generator=torch.Generator().manual_seed(0)
)
KEPT = NAMES != "cat"
FIRST = {"kind": "matrix", "matrix": [[1.0, 0.0]]}
BARELY = {"steps": 1, "n_steps": 1, "batch_size": 64, "lr": 1e-9, "seed": 0}


def bridge(path="one_sided_linear", cond=NAMES, **settings):
    made = Bridge(path, net=NET, steps=250, batch_size=128, seed=0, held_out=0, **settings)
    return made.fit(x1=X, cond=cond, progress=False)


@pytest.fixture(scope="module")
def model():
    return bridge()


@pytest.fixture(scope="module")
def plain():
    return bridge(cond=None)


def is_near(x, name):
    away = {other: float((x.mean(0) - torch.tensor(at)).norm()) for other, at in CENTRES.items()}
    return min(away, key=away.get) == name and away[name] < 2


@pytest.mark.parametrize("words", [NAMES, np.array([{"cat": 0, "dog": 1, "fox": 2}[n] for n in NAMES])])
def test_a_few_step_sampler_of_some_labels_keeps_their_codes(model, words):
    few = FewStep(**BARELY).fit(model=model, x1=X[KEPT], cond=words[KEPT])
    assert few.given["cond"].columns == ("cat", "dog", "fox")
    for name in ("dog", "fox"):
        assert is_near(few.sample(100, cond=name, seed=0), name)


def test_held_out_rows_and_a_stored_sampler_keep_them_too(model, tmp_path):
    few = FewStep(**BARELY).fit(model=model, x1=X[KEPT], cond=NAMES[KEPT])
    few.save(tmp_path / "few")
    assert is_near(FewStep.load(tmp_path / "few").sample(100, cond="fox", seed=0), "fox")


def test_a_flow_map_of_trajectories_keeps_them(model):
    jump = FlowMap(steps=150, rule="trajectories", trajectories=300, net=NET, seed=0).fit(
        model=model, progress=False
    )
    assert is_near(jump.sample(100, cond="dog", seed=0), "dog")


def test_a_prior_is_told_the_labels_of_its_model(model):
    """It used to take none, and answered by a network that had never been without."""
    prior = PriorRestoration(FIRST, solver={"kind": "posterior_draws", "n_steps": 10})
    restored = prior.fit(model=model)
    assert is_near(restored.restore(torch.zeros(40, 1), cond="fox", seed=0).x[:, 0], "fox")
    with pytest.raises(InvalidInputError, match="needs it in every call"):
        restored.restore(torch.zeros(4, 1))


def test_a_prior_that_also_knows_no_label_answers_without():
    prior = PriorRestoration(FIRST, red_diff={"n_steps": 5}).fit(model=bridge(drop_condition=0.2))
    assert prior.restore(torch.zeros(3, 1)).x.shape == (3, 1, 2)


def test_what_the_model_does_not_know_is_refused(model, plain):
    cases = [
        (model, {"cond": np.where(KEPT, NAMES, "cow")}, "cond must be labels of the fit, got 'cow'"),
        (model, {"cond": np.where(KEPT, 1, -1)}, "cond as numbers must be >= 0, got -1"),
        (model, {}, "cond must be passed with a model that was fitted with conditions in all rows"),
        (
            plain,
            {"cond": NAMES},
            "cond must be integers with a model whose fit had no names, got words",
        ),
        (Imported(model.fields, shape=(2,)), {"cond": NAMES}, "whose fit had no names, got words"),
    ]
    for known, given, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            FewStep(**BARELY).fit(model=known, x1=X, **given)


def test_one_label_may_hold_for_all_rows(model):
    few = FewStep(**BARELY).fit(model=model, x1=X[NAMES == "fox"], cond="fox")
    assert is_near(few.sample(100, cond="fox", seed=0), "fox")
