"""Classes by the noise that is predicted best: exact posteriors of Gaussian classes, and a bridge that learnt them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants import Bridge, load
from interpolants.cli.app import app
from interpolants.data.arrays import Kind
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.methods.bridge.classification import class_log_likelihoods, classes_of
from interpolants.methods.parts.start_points import Pool
from interpolants.paths import VP, OneSidedLinear

MEANS, STD = torch.tensor([[-1.0, 0.5], [0.6, 0.0], [0.4, -0.8]]), torch.tensor([0.5, 0.8, 1.2])


class Exact:
    """Exact fields of Gaussian classes ``N(m_c, s_c^2)``: ``z_c = alpha (x - beta m_c) / (alpha^2 + beta^2 s_c^2)``."""

    def __init__(self, path):
        self.path = path

    def evaluate(self, x, t, want, cond=None):
        a, b = self.path.alpha(t), self.path.beta(t)
        mean, std = MEANS[cond].to(x), STD[cond].to(x)[:, None]
        scale = float(self.path.base.shared_scale)
        return {"noise": a * scale * (x - b * mean) / ((a * scale) ** 2 + b**2 * std**2)}


def bridge_of(path):
    pool = Pool.__new__(Pool)
    object.__setattr__(pool, "cond", torch.tensor([0, 2, 1]))
    frame = SimpleNamespace(encode=lambda x: x)
    given = {"cond": Kind("labels", "int64", columns=(0, 1, 2))}
    return SimpleNamespace(fields=Exact(path), frame=frame, state={"pool1": pool}, given=given)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        OneSidedLinear(base=Gaussian((2,))),
        VP(base=Gaussian((2,))),
        OneSidedLinear(base=Gaussian((2,), scale=3.0)),
    ],
    ids=["linear", "vp", "wide base"],
)
def test_exact_fields_give_the_log_likelihood_ratios_of_the_classes(path, generator):
    x = torch.randn(12, 2, generator=generator)
    bridge = bridge_of(path)
    assert classes_of(bridge) == 3
    found = torch.stack([class_log_likelihoods(bridge, x, (-12.0, 12.0), 400, k, 0) for k in range(8)])
    truth = -0.5 * ((x[:, None] - MEANS) / STD[:, None]).square().sum(2) - 2 * STD.log()
    gaps, exact = (v - v[..., :1] for v in (found, truth.double()))
    error = gaps.std(0) / 8**0.5
    assert float(error.median()) < 0.2
    assert bool(((gaps.mean(0) - exact).abs() < 4 * error + 0.02).all())


def test_parts_of_a_job_have_the_scores_of_the_whole(generator):
    x, bridge = torch.randn(70, 2, generator=generator), bridge_of(VP(base=Gaussian((2,))))
    whole = class_log_likelihoods(bridge, x, (-5.0, 5.0), 4, 1, 0)
    assert_close(class_log_likelihoods(bridge, x[66:], (-5.0, 5.0), 4, 1, 66), whole[66:])
    assert not torch.equal(class_log_likelihoods(bridge, x, (-5.0, 5.0), 4, 2, 0), whole)


CENTRES = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
NAMES = np.array(["left", "right", "top"])


def clusters(n, generator):
    label = torch.randint(3, (n,), generator=generator)
    return CENTRES[label] + 0.7 * torch.randn(n, 2, generator=generator), label


def test_a_fitted_bridge_tells_the_classes_by_name(generator, tmp_path):
    x, label = clusters(900, generator)
    net = {"kind": "mlp", "width": 48, "depth": 2}
    settings = {
        "path": "one_sided_linear",
        "net": net,
        "steps": 300,
        "batch_size": 128,
        "lr": 5e-3,
        "held_out": 0,
    }
    bridge = Bridge(**settings).fit(x1=x, cond=NAMES[label.numpy()])
    bridge = load(bridge.save(tmp_path / "bridge"))
    far, right = clusters(300, generator)
    posterior = (-(far[:, None] - CENTRES).square().sum(2) / (2 * 0.7**2)).softmax(1)
    found = bridge.classify(far)
    assert (found["label"] == NAMES[right.numpy()]).mean() > float(posterior.amax(1).mean()) - 0.06
    assert float((torch.tensor(found["probability"]) - posterior).abs().mean()) < 0.12
    np.savetxt(tmp_path / "rows.csv", far[:5].numpy(), delimiter=",")
    asked = [
        "classify",
        str(tmp_path / "bridge"),
        str(tmp_path / "rows.csv"),
        "--out",
        str(tmp_path / "a.npz"),
    ]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert np.load(tmp_path / "a.npz")["label"].tolist() == found["label"][:5].tolist()
    with pytest.raises(InvalidInputError, match="span must be the lowest and the highest"):
        bridge.classify(far, span=(2.0, -2.0))
    with pytest.raises(InvalidInputError, match="levels"):
        bridge.classify(far, levels=0)


def test_a_bridge_without_labels_or_a_gaussian_base_says_what_it_needs(generator):
    x, _ = clusters(60, generator)
    small = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "batch_size": 16, "held_out": 0}
    free = Bridge(path="one_sided_linear", **small).fit(x1=x)
    with pytest.raises(InvalidInputError, match="it was fitted without labels; fit with cond=labels"):
        free.classify(x)
    told = Bridge(path="one_sided_linear", **small).fit(x1=x, cond=x[:, :1])
    with pytest.raises(InvalidInputError, match="it was fitted without labels"):
        told.classify(x)
    two_sided = Bridge(path="linear", **small).fit(x0=x, x1=x)
    with pytest.raises(InvalidInputError, match="does not start from a Gaussian base"):
        two_sided.classify(x)
