"""Losses: their minimisers are the exact fields of a mixture bridge, their forms agree, pairs reduce variance."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.objectives import (
    EndpointLoss,
    EnergyLoss,
    HyvarinenLoss,
    JointLoss,
    MeanRateLoss,
    NoiseLoss,
    ScoreLoss,
    StratifiedTimes,
    VelocityLoss,
)
from interpolants.paths import (
    BrownianEnvelope,
    EncoderDecoder,
    General,
    Linear,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    SpatiallyLinear,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[1.5, -1.0], [-1.0, 0.5]], dtype=F64),
    torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=F64),
)
START = GaussianMixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[-1.0, -1.0], [0.5, 1.5]], dtype=F64),
    torch.tensor([[[0.6, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.8]]], dtype=F64),
)
COLOURED = Gaussian(
    mean=torch.tensor([0.5, -1.0], dtype=F64), covariance=torch.tensor([[1.5, 0.6], [0.6, 0.8]], dtype=F64)
)
PATHS = {
    "linear": Linear(),
    "trigonometric_quadratic": Trigonometric(envelope=QuadraticEnvelope(scale=2.0)),
    "encoder_decoder": EncoderDecoder(),
    "one_sided_linear": OneSidedLinear(),
    "one_sided_coloured": OneSidedTrigonometric(base=COLOURED),
    "variance_preserving": VariancePreserving(),
    "mirror": Mirror(envelope=BrownianEnvelope(scale=2.0)),
    "flow_matching": Linear(envelope=ZeroEnvelope()),
}
LOSSES = {
    "velocity": VelocityLoss,
    "mean_rate": MeanRateLoss,
    "score": ScoreLoss,
    "noise": NoiseLoss,
    "endpoint0": lambda path, **kw: EndpointLoss(path, end=0, **kw),
    "denoised": lambda path, **kw: EndpointLoss(path, end=1, **kw),
    "hyvarinen": HyvarinenLoss,
    "probes": lambda path, **kw: HyvarinenLoss(path, probes=3, **kw),
    "energy": EnergyLoss,
}
# With a mirror path, or without latent noise, some fields are trivial or absent.
ABSENT = {("flow_matching", name) for name in ("score", "noise", "energy")} | {("mirror", "mean_rate")}
CASES = [(p, q) for p in PATHS for q in LOSSES if (p, q) not in ABSENT]


def exact(name):
    path = PATHS[name]
    if path.is_one_sided:
        rho0 = GaussianMixture.from_gaussian(path.base, 2)
    else:
        rho0 = DATA if path.is_static else START
    return GaussianMixtureBridge(rho0, DATA).fields(path), rho0


def draws(name, n, seed=0):
    """Pairs from the coupling of the path, and times away from the ends, where targets have heavy tails."""
    source = torch.Generator().manual_seed(seed)
    _, rho0 = exact(name)
    x1 = DATA.sample(n, generator=source)
    x0 = None if PATHS[name].is_one_sided or PATHS[name].is_static else rho0.sample(n, generator=source)
    t = StratifiedTimes(margin=0.03).sample(n, generator=source).t.double()
    return {"x0": x0, "x1": x1, "t": t, "generator": source}


def directions(x, t):
    """Functions of state and time along which a minimiser must be stationary, ``(K, B, D)``."""
    wave = torch.stack([torch.sin(x[:, 1]), torch.cos(x[:, 0])], 1)
    return torch.stack([torch.ones_like(x), x, wave, x * (2 * t[:, None] - 1), x.flip(1)])


def slopes(loss, field, data, *, energy=False):
    """Per-sample derivatives of the loss along each direction, ``(B, K)``."""
    n = data["x1"].shape[0]
    weights = torch.zeros(n, 5, dtype=F64, requires_grad=True)

    def disturbed(x, t, cond=None):
        rows = weights.repeat(x.shape[0] // n, 1)
        pushed = (rows.T[:, :, None] * directions(x, t)).sum(0)
        if energy:  # the gradient of these is not the direction above, but any direction serves
            return field(x, t) + pushed.sum(1)
        return field(x, t) + pushed

    (slope,) = torch.autograd.grad(loss(disturbed, **data).sum(), weights)
    return slope


def worst_z(slope):
    """Largest mean in units of its standard error."""
    error = slope.std(0) / math.sqrt(slope.shape[0])
    return float((slope.mean(0) / error.clamp_min(1e-12)).abs().max())


def field_of(fields, quantity):
    if quantity == "energy":
        return lambda x, t, cond=None: -fields.log_prob(x, t)
    name = "score" if quantity in ("hyvarinen", "probes") else quantity
    return lambda x, t, cond=None: fields.evaluate(x, t, (name,))[name]


@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_the_exact_field_is_stationary_and_a_wrong_one_is_not(name, quantity):
    """|z| of 5 directions over 60 cases exceeds 4.5 with probability 2e-3 for a correct loss; seed 0."""
    fields, _ = exact(name)
    loss, truth, data = LOSSES[quantity](PATHS[name]), field_of(fields, quantity), draws(name, 8000)
    assert worst_z(slopes(loss, truth, data, energy=quantity == "energy")) < 4.5

    def wrong(x, t, cond=None):
        return 0.6 * truth(x, t) + (0.5 * x.sum(1) if quantity == "energy" else 0.3)

    assert worst_z(slopes(loss, wrong, draws(name, 8000), energy=quantity == "energy")) > 10


@pytest.mark.parametrize("quantity", ["velocity", "mean_rate", "score", "noise", "endpoint0", "denoised"])
def test_least_squares_on_many_draws_finds_the_field_of_gaussian_ends(quantity):
    """Between Gaussians every field is affine in x at fixed t, so that closed-form least squares must find it."""
    n, t = 200_000, 0.35
    source = torch.Generator().manual_seed(1)
    rho0 = GaussianMixture.from_gaussian(COLOURED, 2)
    rho1 = GaussianMixture.from_gaussian(Gaussian((2,), mean=torch.tensor([1.0, 2.0]), scale=0.7), 2)
    path = Linear()
    fields = GaussianMixtureBridge(rho0, rho1).fields(path)
    x0, x1 = rho0.sample(n, generator=source), rho1.sample(n, generator=source)
    sample = path.sample(x0=x0, x1=x1, t=t, generator=source)
    target = LOSSES[quantity](path).target(sample)
    design = torch.cat([sample.x_t, torch.ones(n, 1, dtype=F64)], 1)
    fitted = torch.linalg.lstsq(design, target).solution
    probe = torch.tensor([[0.0, 0.0], [1.0, -1.0], [-0.5, 1.0]], dtype=F64)
    wanted = fields.evaluate(probe, torch.tensor(t, dtype=F64), (quantity,))[quantity]
    found = torch.cat([probe, torch.ones(3, 1, dtype=F64)], 1) @ fitted
    # The error of a least-squares prediction is about the residual's spread times sqrt(leverage / n).
    residual = (target - design @ fitted).std(0)
    assert bool(((found - wanted).abs() < 6 * residual * math.sqrt(3 / n) * 2).all())


@pytest.mark.parametrize("quantity", ["velocity", "score", "noise", "denoised", "energy"])
def test_the_forms_differ_by_a_constant_and_have_the_same_gradient_up_to_two(quantity):
    fields, _ = exact("linear")
    field, energy = field_of(fields, quantity), quantity == "energy"
    found = {}
    for form in ("squared_error", "quadratic"):
        loss, data = LOSSES[quantity](PATHS["linear"], form=form), draws("linear", 50)
        z = torch.randn(data["x1"].shape, dtype=F64, generator=data["generator"])
        data |= {"z": z}
        other = 0.3 if energy else torch.tensor([0.3, -0.2], dtype=F64)
        rise = loss(lambda x, t, c: 1.1 * field(x, t) + other, **data) - loss(field, **data)  # noqa: B023
        found[form] = rise, slopes(loss, field, data, energy=energy)
    # the constant |target|^2 cancels in the difference of two fields
    assert_close(found["squared_error"][0], 2 * found["quadratic"][0])
    assert_close(found["squared_error"][1], 2 * found["quadratic"][1])


@pytest.mark.parametrize("probes", [0, 2])
def test_the_forms_of_the_implicit_loss_differ_by_the_same_factor(probes):
    fields, _ = exact("linear")
    values = {}
    for form in ("squared_error", "quadratic"):
        loss = HyvarinenLoss(PATHS["linear"], form=form, probes=probes)
        values[form] = loss(field_of(fields, "score"), **draws("linear", 20))
    assert_close(values["squared_error"], 2 * values["quadratic"])


@pytest.mark.slow
def test_the_implicit_loss_is_the_squared_error_of_the_score_up_to_a_constant():
    """E|s_hat|^2 + 2 div s_hat = E|s_hat - s|^2 - E|s|^2; both sides on the same draws, within 5 s.e., seed 0."""
    fields, _ = exact("linear")
    score = field_of(fields, "score")

    def guess(x, t, cond=None):
        return 0.7 * score(x, t) + torch.sin(x)

    data = draws("linear", 40_000)
    implicit = HyvarinenLoss(PATHS["linear"])(guess, **data)
    sample = PATHS["linear"].sample(x0=data["x0"], x1=data["x1"], t=data["t"], generator=data["generator"])
    s = score(sample.x_t, data["t"])
    explicit = (guess(sample.x_t, data["t"]) - s).square().sum(1) - s.square().sum(1)
    error = math.hypot(float(implicit.detach().std()), float(explicit.std())) / math.sqrt(40_000)
    assert abs(float(implicit.detach().mean() - explicit.mean())) < 5 * error


def test_probes_are_unbiased_for_the_exact_divergence():
    fields, _ = exact("linear")
    data = draws("linear", 40)
    z = torch.randn(40, 2, dtype=F64, generator=data["generator"])
    field = field_of(fields, "score")
    wanted = HyvarinenLoss(PATHS["linear"])(field, **data, z=z).detach()
    one = HyvarinenLoss(PATHS["linear"], probes=1)
    found = torch.stack([one(field, **data, z=z).detach() for _ in range(400)])
    score = (found.mean(0) - wanted) / (found.std(0) / math.sqrt(400)).clamp_min(1e-12)
    assert float(score.abs().max()) < 4.5
    assert float(found.std(0).mean()) > 0.05  # it is a random estimate: the comparison above is not empty


@pytest.mark.parametrize(
    ("name", "quantity"), [("linear", "velocity"), ("linear", "score"), ("variance_preserving", "velocity")]
)
def test_pairs_reduce_the_variance_at_the_end_and_do_not_move_the_mean(name, quantity):
    """Near the singular end gradients of single draws have variance ~ 1/t, those of pairs stay bounded."""
    fields, _ = exact(name)
    field, near = field_of(fields, quantity), 1e-4 if name == "linear" else 1 - 1e-4
    found = {}
    for paired in (True, False):
        data = draws(name, 20_000)
        data["t"] = torch.full((20_000,), near, dtype=F64)
        found[paired] = slopes(LOSSES[quantity](PATHS[name], antithetic=paired), field, data)
    ratio = found[False].var(0) / found[True].var(0)
    assert float(ratio.min()) > 100
    assert worst_z(found[True]) < 4.5
    assert worst_z(found[False]) < 4.5


def test_the_variance_of_pairs_stays_bounded_towards_the_end_where_that_of_single_draws_grows_like_one_over_t():
    fields, _ = exact("linear")
    spread = {}
    for paired in (True, False):
        for t in (1e-2, 1e-4):
            data = draws("linear", 5000)
            data["t"] = torch.full((5000,), t, dtype=F64)
            loss = VelocityLoss(PATHS["linear"], antithetic=paired)
            spread[paired, t] = float(slopes(loss, field_of(fields, "velocity"), data).var(0).sum())
    assert 50 < spread[False, 1e-4] / spread[False, 1e-2] < 200
    assert spread[True, 1e-4] / spread[True, 1e-2] < 2


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (VelocityLoss(Linear()), True),
        (VelocityLoss(Linear(envelope=QuadraticEnvelope())), False),
        (VelocityLoss(EncoderDecoder()), False),
        (VelocityLoss(OneSidedLinear()), False),
        (VelocityLoss(OneSidedTrigonometric()), False),
        (VelocityLoss(VariancePreserving()), True),
        (
            VelocityLoss(SpatiallyLinear(lambda t: torch.sqrt(1 - t * t), lambda t: t, base=Gaussian())),
            True,
        ),
        (VelocityLoss(Mirror()), True),
        (MeanRateLoss(Linear()), False),
        (NoiseLoss(Linear()), False),
        (EndpointLoss(Linear()), False),
        (ScoreLoss(Linear()), True),
        (ScoreLoss(OneSidedLinear()), True),
        (ScoreLoss(Linear(envelope=QuadraticEnvelope())), True),
        (ScoreLoss(Linear(), antithetic=False), False),
        (NoiseLoss(Linear(), antithetic=True), True),
    ],
)
def test_pairs_are_used_by_default_just_where_the_target_is_infinite(loss, wanted):
    assert loss.is_antithetic is wanted
    rows = []

    def field(x, t, cond=None):
        rows.append(x.shape[0])
        return torch.zeros_like(x)

    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    loss(field, x0=None if loss.path.is_one_sided else x, x1=x, t=torch.full((6,), 0.5))
    assert rows[-1] == (12 if wanted else 6)  # after the check of a first call


def test_a_given_start_of_a_one_sided_path_is_not_mirrored_away_from_its_partner():
    """x0 = x1 is the extreme coupling: then x_t = x1 and dx/dt = 0, but mirrored starts would not be coupled."""
    path = VariancePreserving()
    x = torch.randn(64, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    seen = []

    def field(x_t, t, cond=None):
        seen.append(x_t)
        return torch.zeros_like(x_t)

    VelocityLoss(path)(field, x0=x, x1=x, t=torch.full((64,), 0.6, dtype=F64))
    assert_close(seen[0], 0.8 * x + 0.6 * x)


def test_a_pair_shares_its_ends_and_mirrors_its_noise_and_its_condition_goes_along():
    calls = []

    def field(x, t, cond=None):
        calls.append((x, t, cond))
        return torch.zeros_like(x)

    source = torch.Generator().manual_seed(0)
    x0, x1, z = (torch.randn(5, 2, dtype=F64, generator=source) for _ in range(3))
    t = torch.rand(5, dtype=F64, generator=source)
    cond = {"label": torch.arange(5), "parts": (torch.randn(5, 3, generator=source),)}
    VelocityLoss(Linear())(field, x0=x0, x1=x1, t=t, z=z, cond=cond)
    x, time, seen = calls[-1]  # after the check of a first call
    middle = (1 - t)[:, None] * x0 + t[:, None] * x1
    assert_close(x[:5] + x[5:], 2 * middle)
    assert_close(x[:5] - x[5:], 2 * torch.sqrt(t * (1 - t))[:, None] * z)
    assert_close(time, torch.cat([t, t]))
    assert seen["label"].tolist() == [*range(5), *range(5)]
    assert_close(seen["parts"][0][5:], cond["parts"][0])


@pytest.mark.parametrize("quantity", list(LOSSES))
def test_a_batch_equals_a_loop_over_its_samples(quantity):
    fields, _ = exact("linear")
    field = field_of(fields, quantity)
    loss = LOSSES["hyvarinen" if quantity == "probes" else quantity](PATHS["linear"])
    data = draws("linear", 7)
    z = torch.randn(7, 2, dtype=F64, generator=data.pop("generator"))
    whole = loss(field, **data, z=z)
    one = [loss(field, **{k: v[i : i + 1] for k, v in data.items()}, z=z[i : i + 1]) for i in range(7)]
    assert whole.shape == (7,)
    assert_close(whole, torch.cat(one))


def test_losses_work_on_images_and_keep_the_precision():
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(3, 2, 4, 4, generator=source) for _ in range(2))
    t = torch.rand(3, generator=source)
    for loss in (VelocityLoss(Linear()), ScoreLoss(Linear()), HyvarinenLoss(Linear(), probes=1)):
        value = loss(lambda x, t, cond: -x, x0=x0, x1=x1, t=t, generator=source)
        assert value.shape == (3,)
        assert value.dtype == torch.float32
    # -x has divergence -32 and the implicit loss of it is |x|^2 - 64
    sample = Linear().sample(x0=x0, x1=x1, t=t, z=torch.zeros_like(x0))
    exact_loss = HyvarinenLoss(Linear())(lambda x, t, cond: -x, x0=x0, x1=x1, t=t, z=torch.zeros_like(x0))
    assert_close(exact_loss, sample.x_t.square().sum((1, 2, 3)) - 64)


def test_the_implicit_loss_takes_a_field_that_does_not_depend_on_the_state():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    for probes in (0, 2):
        loss = HyvarinenLoss(Linear(), probes=probes)
        value = loss(lambda x, t, cond: torch.ones_like(x), x0=x, x1=x, t=torch.full((4,), 0.5))
        assert_close(value, torch.full((4,), 2.0))


def test_general_paths_have_velocity_and_score_losses():
    """I = (1-t) x0 + t x1 through the nonlinear door equals the linear path."""
    general = General(lambda t, x0, x1: (1 - t) * x0 + t * x1, BrownianEnvelope())
    data = draws("linear", 9)
    z = torch.randn(9, 2, dtype=F64, generator=data.pop("generator"))
    for name in ("velocity", "score", "mean_rate", "noise", "denoised"):
        values = [
            LOSSES[name](path)(lambda x, t, c: torch.tanh(x), **data, z=z) for path in (Linear(), general)
        ]
        assert_close(*values)


# --- several heads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "one_sided_coloured", "variance_preserving"])
def test_a_joint_loss_equals_the_losses_of_its_heads_at_the_same_draws(name):
    path, quantities = PATHS[name], ("velocity", "noise", "denoised")
    losses = [LOSSES[q](path, antithetic=True) for q in quantities]
    joint = JointLoss(losses)
    assert joint.heads == quantities
    data = draws(name, 11)
    z = torch.randn(11, 2, dtype=F64, generator=data.pop("generator"))

    def trunk(x, t, cond=None):
        return torch.stack([torch.sin((k + 1) * x) for k in range(3)], 1)

    found = joint(trunk, **data, z=z)
    for k, (quantity, loss) in enumerate(zip(quantities, losses, strict=True)):
        wanted = loss(lambda x, t, c, k=k: torch.sin((k + 1) * x), **data, z=z)
        assert_close(found[quantity], wanted)


def test_a_weight_multiplies_the_rows_of_each_head():
    """By hand: a weight of state and time, also where rows are paired."""
    path, n = OneSidedLinear(), 6
    source = torch.Generator().manual_seed(0)
    x1, t = torch.randn(n, 2, generator=source, dtype=F64), torch.rand(n, generator=source, dtype=F64)
    z = torch.randn(n, 2, generator=source, dtype=F64)

    def weight(x, t):
        return {"velocity": 1 + x.square().sum(1), "score": 2 + t}

    def field(x, t, cond=None):
        return torch.stack([x, -x], 1)

    found = JointLoss([VelocityLoss(path), ScoreLoss(path)], weight)(field, x1=x1, t=t, z=z)
    expected = {"velocity": 0.0, "score": 0.0}
    for sign in (1, -1):
        draw = path.sample(x1=x1, t=t, z=sign * z)
        for loss, value in ((VelocityLoss(path), draw.x_t), (ScoreLoss(path), -draw.x_t)):
            rows = loss.compare(value, draw) * weight(draw.x_t, t)[loss.predicts]
            expected[loss.predicts] = expected[loss.predicts] + rows / 2
    assert_close(found, expected)


def test_a_joint_loss_without_singular_heads_evaluates_the_trunk_on_single_draws():
    rows = []

    def trunk(x, t, cond=None):
        rows.append(x.shape[0])
        return torch.stack([x, -x], 1)

    data = draws("linear", 8)
    z = torch.randn(8, 2, dtype=F64, generator=data.pop("generator"))
    joint = JointLoss([MeanRateLoss(PATHS["linear"]), NoiseLoss(PATHS["linear"])])
    found = joint(trunk, **data, z=z)
    assert set(rows) == {8}
    assert_close(found["mean_rate"], MeanRateLoss(PATHS["linear"])(lambda x, t, c: x, **data, z=z))
    assert_close(found["noise"], NoiseLoss(PATHS["linear"])(lambda x, t, c: -x, **data, z=z))
    single = JointLoss([MeanRateLoss(PATHS["linear"])])
    assert_close(single(lambda x, t, c: x, **data, z=z)["mean_rate"], found["mean_rate"])


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [NoiseLoss, ScoreLoss, EnergyLoss])
def test_noise_is_not_learnt_where_there_is_none(loss):
    with pytest.raises(NotIdentifiableError, match=r"no latent noise .* Use an envelope"):
        loss(Linear(envelope=ZeroEnvelope()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyvarinenLoss(Linear(), antithetic=True), "antithetic must be None or False"),
        (lambda: JointLoss([]), "at least one objective"),
        (lambda: JointLoss([VelocityLoss(Linear()), NoiseLoss(OneSidedLinear())]), "must share one path"),
        (lambda: JointLoss([VelocityLoss(Linear()), EnergyLoss(Linear())]), "cannot share a trunk"),
        (lambda: HyvarinenLoss(Linear()).target(None), "implicit"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_field_of_another_shape_is_refused_by_name():
    x, t = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.full((4,), 0.5)
    for loss in (MeanRateLoss(Linear()), HyvarinenLoss(Linear())):
        with pytest.raises(InvalidInputError, match=rf"{type(loss).__name__}: .* \(4, 2\), got \(4, 1\)"):
            loss(lambda x, t, cond: x[:, :1], x0=x, x1=x, t=t)
    with pytest.raises(InvalidInputError, match=r"an energy must have shape \(8,\), got \(8, 2\)"):
        EnergyLoss(Linear())(lambda x, t, cond: x, x0=x, x1=x, t=t)
    joint = JointLoss([MeanRateLoss(Linear()), NoiseLoss(Linear())])
    with pytest.raises(InvalidInputError, match=r"JointLoss: .* \(4, 2, 2\), got \(4, 3, 2\)"):
        joint(lambda x, t, cond: x[:, None].expand(4, 3, 2), x0=x, x1=x, t=t)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": None}, "x0 is needed"),
        ({"x0": torch.zeros(3, 2)}, r"shape of x1, \(4, 2\), got \(3, 2\)"),
        ({"x1": torch.zeros(4, 2, dtype=torch.long)}, "floating point"),
        ({"t": torch.full((4,), 1.5)}, r"t must lie in \[0, 1\]"),
        ({"t": torch.full((3,), 0.5)}, r"shape \(4,\)"),
        ({"z": torch.zeros(4, 3)}, "z must have the shape"),
    ],
)
def test_bad_draws_are_refused(change, message):
    data = {"x0": torch.zeros(4, 2), "x1": torch.zeros(4, 2), "t": torch.full((4,), 0.5)} | change
    with pytest.raises(InvalidInputError, match=message):
        MeanRateLoss(Linear())(lambda x, t, cond: x, **data)


def test_losses_can_be_read_without_gradients():
    """Validation runs under ``no_grad``; energy and implicit losses differentiate the network all the same."""
    fields, _ = exact("linear")
    for quantity in LOSSES:
        loss, field = LOSSES[quantity](PATHS["linear"]), field_of(fields, quantity)
        data = draws("linear", 6)
        z = torch.randn(6, 2, dtype=F64, generator=data["generator"])
        state = data["generator"].get_state()
        wanted = loss(field, **data, z=z)
        data["generator"].set_state(state)
        with torch.no_grad():
            found = loss(field, **data, z=z)
        assert_close(found, wanted)
        assert not found.requires_grad
