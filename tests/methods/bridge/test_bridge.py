"""The estimator: kinds of data, both directions, likelihood with and without a density, storage, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.couplings import Paired
from interpolants.dynamics import Samples, sample
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.trees import fingerprint
from interpolants.framework.capabilities import NotAbleError
from interpolants.likelihood import LogProb
from interpolants.paths import General, Linear, OneSidedLinear, QuadraticEnvelope, ZeroEnvelope
from interpolants.problems import Checkerboard, EightGaussians, GaussianMixture

TINY = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "steps": 60, "batch_size": 64}
BRIEF = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "batch_size": 16}
QUIET = {"progress": False}


def arrays(seed=0, n=600):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * 0.5 + [5.0, -20.0]


@pytest.fixture(scope="module")
def bridge():
    return Bridge("linear", leg={"steps": 1}, **{**TINY, "steps": 500}).fit(*arrays(), **QUIET)


def test_a_short_fit_lands_near_the_data_in_data_units(bridge):
    x0, x1 = arrays()
    for eps in (0.0, 0.5):
        y = bridge.sample(500, eps=eps, seed=1)
        assert np.abs(y.mean(0) - x1.mean(0)).max() < 1.0, "the means lie 5 and 20 units apart"
    back = bridge.transport(x1, reverse=True)
    assert np.abs(back.mean(0) - x0.mean(0)).max() < 1.0


@pytest.mark.parametrize(
    ("make", "kind", "dtype"),
    [
        (lambda x: x, np.ndarray, np.float64),
        (lambda x: x.astype(np.float32), np.ndarray, np.float32),
        (torch.as_tensor, torch.Tensor, torch.float64),
        (lambda x: pd.DataFrame(x, columns=["u", "v"]), pd.DataFrame, np.float64),
    ],
)
def test_answers_come_back_in_the_kind_that_was_given(bridge, make, kind, dtype):
    x = bridge.transport(make(arrays()[0][:5]))
    assert isinstance(x, kind)
    assert x.shape == (5, 2)
    if kind is pd.DataFrame:
        assert list(x.columns) == ["u", "v"]
    else:
        assert x.dtype == dtype


def test_details_say_what_it_took(bridge):
    done = bridge.sample(5, eps=0.3, seed=3, n_steps=10, details=True, return_path=True)
    assert isinstance(done, Samples)
    assert (done.nfe, done.seed, tuple(done.path.shape)) == (20, 3, (11, 5, 2))
    assert_close(done.path[-1], done.x)


def test_sample_i_is_the_same_in_any_batch(bridge):
    whole = bridge.sample(100, eps=0.7, seed=5)
    parts = [bridge.sample(k, eps=0.7, seed=5, first_index=i) for i, k in ((0, 1), (1, 7), (8, 64), (72, 28))]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_saved_bridge_gives_the_same_bits(bridge, tmp_path):
    bridge.save(tmp_path / "b")
    again = Bridge.load(tmp_path / "b")
    assert np.array_equal(again.sample(70, eps=0.5, seed=2), bridge.sample(70, eps=0.5, seed=2))
    assert again.heads == bridge.heads
    assert again.path == bridge.path
    assert again.training() == bridge.training()
    again.save(tmp_path / "b")  # replaces its own kind
    assert {p.suffix for p in (tmp_path / "b").iterdir()} == {".json", ".safetensors", ".md"}


@pytest.mark.parametrize("columns", [[0, 1], ["u", "v"], np.array([3, 5])])
def test_a_saved_bridge_answers_with_the_columns_it_was_given(columns, tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(arrays(n=60)[1], columns=columns)
    learnt = Bridge("one_sided_linear", steps=2, batch_size=16).fit(x1=table, progress=False)
    again = Bridge.load(learnt.save(tmp_path / "bridge"))
    pandas.testing.assert_frame_equal(again.sample(3, seed=0), learnt.sample(3, seed=0))


def test_a_saved_bridge_knows_where_in_time_it_looked(tmp_path):
    times = {"kind": "logit_normal", "mean": 0.3}
    learnt = Bridge("one_sided_linear", times=times, steps=2, batch_size=16).fit(
        x1=arrays(n=60)[1], progress=False
    )
    again = Bridge.load(learnt.save(tmp_path / "bridge"))
    assert again.get_params()["times"] == times


@pytest.mark.slow
@pytest.mark.parametrize("path", ["one_sided_linear", "linear", "mirror"])
def test_torch_s_default_type_does_not_matter(float64, path, tmp_path):
    x0, x1 = (torch.as_tensor(x, dtype=torch.float64) for x in arrays(n=200))
    given = {"x0": x0, "x1": x1} if path == "linear" else {"x1": x1}
    net = {"kind": "mlp", "width": 16, "depth": 2}
    learnt = Bridge(path, steps=5, batch_size=32, net=net).fit(**given, progress=False)
    y = learnt.sample(5, seed=0, n_steps=10)
    assert y.dtype == torch.float64
    assert next(learnt.network.parameters()).dtype == torch.float32
    assert_close(
        Bridge.load(learnt.save(tmp_path / "bridge")).sample(5, seed=0, n_steps=10), y, rtol=0, atol=0
    )
    assert learnt.check(n=50).checks


@pytest.mark.parametrize("how", [{"heads": "log_density"}, {"times": "importance"}])
def test_nor_does_it_for_what_has_tensors_of_its_own(float64, how, tmp_path):
    x1 = torch.as_tensor(arrays(n=60)[1])
    net = {"kind": "mlp", "width": 8, "depth": 1}
    learnt = Bridge("one_sided_linear", steps=2, batch_size=16, net=net, **how).fit(x1=x1, progress=False)
    again = Bridge.load(learnt.save(tmp_path / "bridge"))
    assert_close(again.sample(5, seed=0, n_steps=5), learnt.sample(5, seed=0, n_steps=5), rtol=0, atol=0)


@pytest.mark.parametrize(
    "law", [Gaussian((2,)), Gaussian((2,), mean=torch.tensor([0.5, -1.0]), scale=0.7), Checkerboard()]
)
def test_a_saved_bridge_keeps_the_density_of_its_start(law, tmp_path):
    learnt = Bridge("linear", **BRIEF).fit(law, arrays(n=60)[1], progress=False)
    again = Bridge.load(learnt.save(tmp_path / "bridge"))
    x, how = arrays(n=5)[1], {"method": "midpoint", "n_steps": 5}
    assert np.array_equal(again.log_prob(x, **how), learnt.log_prob(x, **how), equal_nan=True)
    assert again.state["leg"] is None


def test_a_refused_fit_changes_nothing():
    learnt = Bridge("linear", **BRIEF).fit(Gaussian((2,)), arrays(n=60)[1], progress=False)
    x, how = arrays(n=5)[1], {"method": "midpoint", "n_steps": 5}
    before = learnt.log_prob(x, **how)
    for wrong in ({"x1": torch.randn(30, 3)}, {"x1": torch.randn(30, 2), "steps": 0}):
        with pytest.raises(InvalidInputError):
            learnt.fit(torch.randn(30, 2), **wrong, progress=False)
    assert np.array_equal(learnt.log_prob(x, **how), before)
    assert isinstance(learnt.sample(3), np.ndarray)


def test_steps_given_to_one_fit_are_not_those_of_the_next():
    learner = Bridge("one_sided_linear", steps=3, batch_size=16, net={"kind": "mlp", "width": 8, "depth": 1})
    x1 = arrays(n=60)[1]
    assert learner.fit(x1=x1, steps=2, progress=False).history[-1]["step"] == 2
    assert learner.fit(x1=x1, progress=False).history[-1]["step"] == 3


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_the_density_of_the_other_end_is_refused(bridge):
    """It needs the density of rho1, which the bridge has not; that of rho0 would have been taken in its place."""
    with pytest.raises(InvalidInputError, match="end must be 1, the distribution of x1, got 0"):
        bridge.log_prob(arrays()[0][:2], end=0)


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_gradients_flow_through_the_bridge_where_asked_for():
    """The same as through its parts; a difference quotient for the density."""
    learnt = Bridge(**{**TINY, "path": "one_sided_linear"}).fit(x1=torch.from_numpy(arrays()[1]), **QUIET)
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    how = {"method": "midpoint", "n_steps": 4, "differentiable": True}
    (slope,) = torch.autograd.grad(learnt.transport(x, **how).square().sum(), x)
    encoded = learnt.frame.encode(x)
    (wanted,) = torch.autograd.grad(
        learnt.frame.decode(sample(learnt.fields, encoded, **how).x).square().sum(), x
    )
    assert_close(slope, wanted)
    (slope,) = torch.autograd.grad(learnt.log_prob(x, **how).sum(), x)
    step = torch.tensor([0.01, 0.0])
    plain = {**how, "differentiable": False}
    quotient = (learnt.log_prob(x + step, **plain) - learnt.log_prob(x - step, **plain)) / 0.02
    assert_close(slope[:, 0], quotient, rtol=1e-2, atol=1e-3)
    assert not learnt.transport(x, n_steps=2).requires_grad


def test_log_prob_of_two_sample_sets_needs_a_leg_which_the_fit_learns(tmp_path):
    x0, x1 = arrays()
    plain = Bridge("linear", **TINY).fit(x0, x1, **QUIET)
    with pytest.raises(
        NotAbleError, match=r"rho0 was given by samples and has no density; fit Bridge\(leg=\{\}\)"
    ):
        plain.log_prob(x1[:4])
    two = Bridge("linear", leg={}, **TINY).fit(x0, x1, **QUIET)
    before = fingerprint(two.learnt())
    first = two.log_prob(x1[:4], method="midpoint", n_steps=10)
    assert fingerprint(two.learnt()) == before, "asking changes nothing"
    assert np.array_equal(two.sample(3, seed=1), plain.sample(3, seed=1)), (
        "nor does the leg change the bridge"
    )
    two.save(tmp_path / "b")
    assert np.array_equal(Bridge.load(tmp_path / "b").log_prob(x1[:4], method="midpoint", n_steps=10), first)


def test_units_cancel_in_log_prob():
    """With exact fields put in place of the net, log p in data units is the density of the data."""
    x1 = 3.0 + 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    raw = {"held_out": 0, "standardize": True, "precondition": False}
    one = Bridge("one_sided_linear", **raw, **TINY).fit(x1=x1, **QUIET)

    class Exact(torch.nn.Module):
        def forward(
            self, x, t, cond=None
        ):  # standardised data are N(0, Id), so b = (2t - 1)/(t^2 + (1-t)^2) x
            t = t if t.ndim == 0 else t[:, None]
            return (2 * t - 1) / (t**2 + (1 - t) ** 2) * x

    one.state["net"] = Exact()
    shift, scale = x1.mean(0), x1.std(0)
    truth = -0.5 * ((x1[:50] - shift) / scale).square().sum(1) - scale.log().sum() - math.log(2 * math.pi)
    assert_close(one.log_prob(x1[:50]), truth, atol=2e-4, rtol=0)
    assert isinstance(one.log_prob(x1[:5], details=True), LogProb)


def test_a_start_law_with_a_density_needs_no_leg():
    rho0 = GaussianMixture(
        torch.ones(2).double() / 2, torch.tensor([[-2.0, 0.0], [2.0, 0.0]]).double(), torch.ones(2).double()
    )
    two = Bridge("linear", **TINY).fit(rho0, arrays()[1], **QUIET)
    assert np.isfinite(two.log_prob(arrays()[1][:3], method="midpoint", n_steps=10)).all()
    assert two.state["leg"] is None


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_a_mixture_given_as_the_start_is_kept_with_the_bridge(tmp_path):
    source = torch.Generator().manual_seed(2)
    for rho0 in (GaussianMixture.random(3, 2, seed=1), EightGaussians(radius=2.0)):
        two = Bridge("linear", **TINY).fit(rho0, arrays()[1], **QUIET)
        again = Bridge.load(two.save(tmp_path / "kept"))
        x = torch.randn(5, 2, generator=source)
        how = {"method": "midpoint", "n_steps": 10}
        assert_close(again.log_prob(x, **how), two.log_prob(x, **how))
        assert again.state["leg"] is None
        y = torch.randn(5, 2, generator=source, dtype=torch.float64)
        assert_close(again.state["density0"].log_prob(y), rho0.log_prob(y), atol=1e-12, rtol=1e-12)


class Shifted:
    """A coupling of one's own: pairs in the opposite order."""

    def pair(self, x0, x1, *, generator=None, cond0=None, cond1=None):
        return Paired().pair(x0.flip(0), x1, generator=generator)


def test_a_coupling_of_ones_own_is_not_taken_for_another_one(tmp_path):
    x0, x1 = arrays()
    x0 = x0[: len(x1)]
    two = Bridge("linear", coupling=Shifted(), **TINY).fit(x0, x1, **QUIET)
    again = Bridge.load(two.save(tmp_path / "kept"))
    again = Bridge.load(again.save(tmp_path / "again"))  # its name is not lost either
    assert_close(again.sample(3, seed=0), two.sample(3, seed=0))
    rule = r"coupling is code of your own \(Shifted\).*Pass load\(folder, coupling=\.\.\.\)"
    with pytest.raises(InvalidInputError, match=rule):
        again.fit(x0, x1, **QUIET)
    with pytest.raises(InvalidInputError, match=rule):
        again.check(n=100)
    assert_close(again.sample(3, seed=0), two.sample(3, seed=0))  # what was refused changed nothing
    again = Bridge.load(tmp_path / "again", coupling=Shifted())
    assert_close(again.fit(x0, x1, **QUIET).sample(3, seed=0), two.sample(3, seed=0), atol=0, rtol=0)


@pytest.mark.parametrize("coupling", ["minibatch_ot", {"kind": "sinkhorn", "reg": 0.5}])
def test_a_coupling_with_a_name_is_kept(coupling, tmp_path):
    x0, x1 = arrays()
    two = Bridge("linear", coupling=coupling, **{**TINY, "steps": 3}).fit(x0, x1, **QUIET)
    assert Bridge.load(two.save(tmp_path / "kept")).coupling == two.coupling


def test_a_torch_distribution_may_be_the_start():
    law = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), torch.ones(2)), 1)
    two = Bridge("linear", **TINY).fit(law, arrays()[1], **QUIET)
    assert two.log_prob(arrays()[1][:3], method="midpoint", n_steps=10).shape == (3,)


def test_labels_as_condition_reach_the_network():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 800)
    x1 = rng.normal(size=(800, 2)) * 0.2 + np.where(labels, 3.0, -3.0)[:, None]
    settings = {**TINY, "steps": 300}
    one = Bridge("one_sided_linear", **settings).fit(x1=x1, cond=labels, **QUIET)
    for label, sign in ((0, -1), (1, 1)):
        assert (np.sign(one.sample(200, cond=label, seed=0).mean(0)) == sign).all()
    mixed = one.sample(4, cond=[0, 1, 0, 1], seed=0)
    assert (np.sign(mixed[:, 0]) == [-1, 1, -1, 1]).all()


def test_paired_coupling_keeps_rows_together():
    x0, _ = arrays()
    shift = np.array([1.0, 2.0])
    x1 = x0 + shift
    two = Bridge(Linear(envelope=ZeroEnvelope()), coupling="paired", **{**TINY, "steps": 300}).fit(
        x0, x1, **QUIET
    )
    # the only drift is the constant shift, and the net starts at zero
    moved = two.transport(x0[:50]) - x0[:50]
    assert np.abs(moved - shift).mean() < 0.2
    with pytest.raises(InvalidInputError, match="as many rows, one for one, got x0 600, x1 500"):
        Bridge(coupling="paired", **TINY).fit(x0, x1[:500], **QUIET)


def test_a_bridge_resumes_to_the_same_bits(tmp_path):
    x0, x1 = arrays()
    settings = {**TINY, "checkpoint_every": 20}
    whole = Bridge("linear", **settings).fit(x0, x1, out=tmp_path / "a", **QUIET)
    Bridge("linear", **settings).fit(x0, x1, steps=40, out=tmp_path / "b", **QUIET)
    short = Bridge("linear", **{**settings, "schedule": "constant"})
    assert short.schedule == "constant"
    with pytest.raises(InvalidInputError, match="schedule"):
        short.fit(x0, x1, out=tmp_path / "b", resume=True, **QUIET)
    del whole
    same = Bridge("linear", **{**settings, "schedule": "constant"}).fit(x0, x1, out=tmp_path / "c", **QUIET)
    Bridge("linear", **{**settings, "schedule": "constant"}).fit(
        x0, x1, steps=40, out=tmp_path / "d", **QUIET
    )
    again = Bridge("linear", **{**settings, "schedule": "constant"}).fit(
        x0, x1, out=tmp_path / "d", resume=True, **QUIET
    )
    assert np.array_equal(again.sample(20, seed=0), same.sample(20, seed=0))


def test_parameters_are_read_and_set_as_in_scikit_learn():
    one = Bridge("linear", steps=7, lr=0.1)
    assert one.get_params()["steps"] == 7
    clone = Bridge(**one.get_params())
    assert clone.training() == one.training()
    assert one.set_params(path="mirror", steps=9).heads == ("noise",)
    assert one.steps == 9
    with pytest.raises(InvalidInputError, match="Did you mean 'coupling'"):
        one.set_params(coupla="x")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bridge("linaer"), InvalidInputError, "Did you mean 'linear'"),
        (lambda: Bridge(stepz=3), InvalidInputError, "Did you mean 'steps'"),
        (lambda: Bridge(steps=0), InvalidInputError, r"Bridge: steps must be a whole number >= 1, got 0"),
        (lambda: Bridge(heads="velocty"), InvalidInputError, "Did you mean 'velocity'"),
        (lambda: Bridge(net="mpl").fit(*arrays(), **QUIET), InvalidInputError, "Did you mean 'mlp'"),
        (lambda: Bridge(seed=-1), InvalidInputError, "seed must be a whole number >= 0, got -1"),
        (lambda: Bridge(times="logit"), InvalidInputError, "logit_normal"),
        (
            lambda: Bridge(Linear(envelope=ZeroEnvelope()), heads="noise"),
            NotIdentifiableError,
            "no latent noise",
        ),
        (lambda: Bridge().fit(arrays()[0], **QUIET), InvalidInputError, "x1 is needed"),
        (lambda: Bridge().fit(x1=arrays()[1], **QUIET), InvalidInputError, r"x0 is needed.*one_sided_linear"),
        (
            lambda: Bridge("one_sided_linear").fit(*arrays(), **QUIET),
            InvalidInputError,
            "draws x0 from its own Gaussian base",
        ),
        (
            lambda: Bridge().fit(arrays()[0][:, :1], arrays()[1], **QUIET),
            InvalidInputError,
            r"same event shape, \(2,\), got \(1,\)",
        ),
        (
            lambda: Bridge().fit(arrays()[0], np.full((5, 2), np.nan), **QUIET),
            InvalidInputError,
            "x1 must be finite",
        ),
        (
            lambda: Bridge().fit(arrays()[0], np.zeros((5, 2), dtype="uint8"), **QUIET),
            InvalidInputError,
            "float",
        ),
        (
            lambda: Bridge().fit(*arrays(), cond=np.zeros(3, dtype=int), **QUIET),
            InvalidInputError,
            "as many rows, one for one, got x1 600, cond 3",
        ),
        (lambda: Bridge().sample(3), InvalidInputError, "must be fitted"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_bad_requests_to_a_fitted_bridge(bridge, tmp_path):
    for call, message in [
        (lambda: bridge.sample(0), "n must be a whole number >= 1, got 0"),
        (lambda: bridge.sample(3, eps=-1.0), "finite and >= 0, got -1.0"),
        (lambda: bridge.sample(3, methd="heun"), "Did you mean 'method'"),
        (lambda: bridge.sample(3, cond=1), "fitted without cond takes none"),
        (lambda: bridge.transport(np.zeros((3, 5))), r"fitted to, \(2,\), got \(5,\)"),
        (lambda: bridge.log_prob(np.zeros((3, 2)), diverge="exact"), "Did you mean 'divergence'"),
        (lambda: Bridge.load(tmp_path / "nothing"), "nothing"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_without_latent_noise_the_sde_is_refused_with_the_reason():
    plain = Bridge(Linear(envelope=ZeroEnvelope()), **TINY).fit(*arrays(), **QUIET)
    assert plain.heads == ("velocity",)
    with pytest.raises(NotIdentifiableError, match=r"gamma = 0.*Use an envelope with gamma > 0"):
        plain.sample(3, eps=0.5)


def test_a_path_that_is_code_is_passed_again(tmp_path):
    path = General(lambda t, a, b: (1 - t) * a + t * b, QuadraticEnvelope())
    own = Bridge(path, **{**TINY, "steps": 2}).fit(*arrays(), **QUIET)
    own.save(tmp_path / "b")
    with pytest.raises(
        InvalidInputError, match=r"path is code of your own.*Pass load\(folder, path=\.\.\.\)"
    ):
        Bridge.load(tmp_path / "b")
    again = Bridge.load(tmp_path / "b", path=path)
    assert np.array_equal(again.sample(3, seed=0), own.sample(3, seed=0))


def test_standardisation_can_be_switched_off():
    off = Bridge(standardize=False, **{**TINY, "steps": 2}).fit(*arrays(), **QUIET)
    assert float(off.frame.scale) == 1.0
    on = Bridge(held_out=0, **{**TINY, "steps": 2}).fit(*arrays(), **QUIET)
    pooled = np.concatenate(arrays())
    assert_close(on.frame.scale.double(), torch.as_tensor(pooled.std(0, ddof=1)), rtol=1e-5, atol=0)


def test_whole_numbers_are_warned_about():
    x1 = np.random.default_rng(0).integers(0, 5, (300, 2)).astype(float)
    with pytest.warns(UserWarning, match="discrete data have no density"):
        Bridge("one_sided_linear", **{**TINY, "steps": 1}).fit(x1=x1, **QUIET)


@pytest.mark.slow
def test_images_get_a_u_net_and_one_scale():
    x1 = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one = Bridge(OneSidedLinear(), net={"kind": "auto", "channels": 16}, steps=2, batch_size=8).fit(
        x1=x1, **QUIET
    )
    assert type(one.network).__name__ == "UNet"
    assert one.frame.scale.ndim == 0
    assert one.sample(3, seed=0, n_steps=2).shape == (3, 1, 8, 8)


def test_importance_times_are_learnt_and_resumed(tmp_path):
    x0, x1 = arrays()
    settings = {**TINY, "schedule": "constant", "times": "importance"}
    whole = Bridge("linear", **settings).fit(x0, x1, out=tmp_path / "a", **QUIET)
    Bridge("linear", **settings).fit(x0, x1, steps=30, out=tmp_path / "b", **QUIET)
    again = Bridge("linear", **settings).fit(x0, x1, out=tmp_path / "b", resume=True, **QUIET)
    assert np.array_equal(again.sample(20, seed=0), whole.sample(20, seed=0))


@pytest.mark.parametrize(
    ("leg", "told"),
    [
        (
            {"path": "linear"},
            r"leg must be a table of settings .* got 'path'. Its path is 'one_sided_linear'",
        ),
        ({"stepz": 3}, r"leg must be .* got 'stepz'. Did you mean 'steps'"),
        (3, r"leg must be a table .* got 3"),
    ],
)
def test_a_leg_of_unknown_settings_is_refused_in_words(leg, told):
    with pytest.raises(InvalidInputError, match=told):
        Bridge("linear", leg=leg, **TINY)


def test_a_leg_may_have_a_network_of_its_own():
    net = {"kind": "mlp", "width": 4, "depth": 1}
    assert Bridge("linear", leg={"net": net}, **TINY).leg_template({"net": net}).net == net


# --- entries by their numbers, and rows off a constant ------------------------------------------------------


def test_noise_of_unnamed_columns_goes_by_their_numbers_whatever_the_rows():
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    bridge = Bridge(
        "one_sided_linear", masks="levels", steps=2, net={"kind": "mlp", "width": 8, "depth": 1}
    ).fit(x1=rows, **QUIET)
    one = torch.tensor([[0.1, math.nan, 2.0]])
    assert bridge.complete(one, sigma={"2": 0.5}, seed=0).isfinite().all()
    with pytest.raises(InvalidInputError, match="sigma must name columns of the fit, got '3'"):
        bridge.complete(one, sigma={"3": 0.5}, seed=0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_of_two_rows_the_one_off_a_constant_has_no_density():
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    rows[:, 1] = 7.0
    bridge = Bridge("one_sided_linear", steps=2, net={"kind": "mlp", "width": 8, "depth": 1}).fit(
        x1=rows, **QUIET
    )
    log_p = bridge.log_prob(torch.tensor([[0.1, 7.0, 0.2], [0.1, 8.0, 0.2]]))
    assert log_p[0].isfinite()
    assert log_p[1] == -math.inf


def test_a_former_setting_of_a_base_class_is_refused_with_what_takes_its_place():
    with pytest.raises(InvalidInputError, match="Give the settings of the training directly"):
        Bridge(train={"steps": 5})
    with pytest.raises(InvalidInputError, match="It is called heads now"):
        Bridge(learn="velocity")
