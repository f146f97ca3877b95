"""Linked modalities against joint Gaussians with exact heads, a bridge of one modality, and labelled clusters."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants.apps.multimodal import MultimodalDiffusion
from interpolants.apps.multimodal.chosen_units import errors_of, unexplained
from interpolants.apps.multimodal.linked_training import Heads, LinkedLoss
from interpolants.apps.multimodal.modality_roles import modality_roles
from interpolants.apps.multimodal.shared_space import Modality, SharedSpace, subsets, tokens
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.tell import AssumptionWarning, FitWarning, OutsideWarning
from interpolants.framework.frames import Standard, Whitened
from interpolants.framework.method import load
from interpolants.framework.roles import read
from interpolants.methods import Bridge
from interpolants.objectives.times import UniformTimes
from interpolants.paths.linear import OneSidedLinear
from interpolants.runs.answers import read_rows

NET = {"kind": "mlp", "width": 48, "depth": 2}
# Covariance of (x1, x2), two numbers each; x2 tells most of x1.
COVARIANCE = torch.tensor(
    [[1.0, 0.3, 0.8, 0.1], [0.3, 1.0, 0.2, -0.7], [0.8, 0.2, 1.0, 0.0], [0.1, -0.7, 0.0, 1.0]],
    dtype=torch.float64,
)


def gaussian_space():
    part = Modality(shape=(2,), is_label=False, frame=Standard())
    return SharedSpace(parts={"a": part, "b": part})


class ExactHeads:
    """``E[e | z, what is known]`` of the joint Gaussian, in closed form."""

    def __call__(self, z, t, cond=None):
        path, x, t = OneSidedLinear(), z.double(), t.double().reshape(-1)[:1]
        alpha, beta = path.alpha(t), path.beta(t)
        known = cond is not None and bool((cond[0, 4:] > 0).any())
        if known:  # b is told: (a | b) is Gaussian, and the block of b says no more
            slope = COVARIANCE[:2, 2:] @ torch.linalg.inv(COVARIANCE[2:, 2:])
            cov = COVARIANCE[:2, :2] - slope @ COVARIANCE[2:, :2]
            mean = cond[:, 2:4].double() @ slope.T
            gain = beta * cov @ torch.linalg.inv(alpha**2 * torch.eye(2).double() + beta**2 * cov)
            return torch.cat([mean + (x[:, :2] - beta * mean) @ gain.T, x[:, 2:]], 1).to(z)
        gain = beta * COVARIANCE @ torch.linalg.inv(alpha**2 * torch.eye(4).double() + beta**2 * COVARIANCE)
        return (x @ gain.T).to(z)


def exact_draws(n, b=None, *, told=True):
    space = gaussian_space()
    known = torch.zeros(n, 2, dtype=torch.bool)
    known[:, 1] = b is not None
    units = {"a": torch.zeros(n, 2), "b": torch.zeros(n, 2) if b is None else torch.tensor(b).expand(n, 2)}
    cond = tokens(space, units, known, torch.zeros_like(known))
    heads = Heads(_Module(), space, space, told=told)
    flow, how = MultimodalDiffusion().flow, {"method": "midpoint", "n_steps": 60}
    return flow.drawn(flow.fields(heads), (4,), n, seed=0, cond=cond, **how).x.double()


class _Module(TakesOneTime, torch.nn.Module):
    def forward(self, x, t, cond=None):
        return ExactHeads()(x, t, cond)


def test_exact_heads_draw_the_joint_gaussian():
    found = exact_draws(20_000).T.cov()
    assert float((found - COVARIANCE).norm() / COVARIANCE.norm()) < 0.03
    assert float((found - COVARIANCE)[:2, 2:].norm() / COVARIANCE[:2, 2:].norm()) < 0.03


def test_heads_that_are_told_draw_the_conditional_and_the_naive_clamp_does_not():
    b = [1.0, -0.5]
    mean = COVARIANCE[:2, 2:] @ torch.tensor(b, dtype=torch.float64)  # the covariance of b is the identity
    cov = COVARIANCE[:2, :2] - COVARIANCE[:2, 2:] @ COVARIANCE[2:, :2]
    told, clamped = exact_draws(20_000, b), exact_draws(20_000, b, told=False)
    for z in (told, clamped):  # both hold what is known
        assert_close(z[:, 2:], torch.tensor(b, dtype=torch.float64).expand(len(z), 2), atol=2e-3, rtol=0)
    error = told[:, :2].mean(0) - mean
    assert float(error.abs().max()) < 0.02
    assert float((told[:, :2].T.cov() - cov).norm() / cov.norm()) < 0.04
    assert float((clamped[:, :2].mean(0) - mean).norm()) > 0.2 * float(mean.norm())
    assert float((clamped[:, :2].T.cov() - cov).norm() / cov.norm()) > 0.1


def test_one_modality_alone_is_the_one_sided_bridge_to_the_bit(generator):
    x = torch.randn(200, 1, 4, 4, generator=generator) * 2 + 1
    common = {"net": NET, "steps": 30, "batch_size": 32, "seed": 5}
    model = MultimodalDiffusion(modalities={"image": "rows"}, **common).fit(image=x)
    bridge = Bridge(
        path="one_sided_linear", heads=("denoised",), precondition=True, held_out=0, **common
    ).fit(x1=x, progress=False)
    ours, theirs = model.state["net"].state_dict(), bridge.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [row["image"] for row in model.history] == [row["denoised"] for row in bridge.history]
    drawn = bridge.sample(70, seed=3, method="midpoint", n_steps=10)
    assert torch.equal(model.sample(70, seed=3, n_steps=10)["image"], drawn)


# --- labelled clusters, with missing entries -----------------------------------------------------------------

CENTRES = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


def clusters(n, generator):
    label = torch.randint(3, (n,), generator=generator)
    return CENTRES[label] + 0.7 * torch.randn(n, 2, generator=generator), label


def test_any_subset_is_drawn_and_expected_from_the_others_although_entries_are_missing(generator, tmp_path):
    x, label = clusters(1500, generator)
    seen_x, seen_label = x.clone(), label.numpy().astype(object)
    seen_x[:300] = math.nan
    seen_label[400:900] = None
    model = MultimodalDiffusion(
        modalities={"place": "rows", "word": "labels"},
        net=NET,
        whiten=True,
        steps=600,
        batch_size=128,
        lr=1e-2,
        ema=0.98,
        n_steps=20,
    ).fit({"place": seen_x, "word": seen_label})
    model = load(model.save(tmp_path / "model"))
    far, right = clusters(400, generator)
    posterior = (-(far[:, None] - CENTRES).square().sum(2) / (2 * 0.7**2)).softmax(1)
    found = model.expect(place=far)["word"]
    assert float((torch.tensor(found) - posterior).abs().mean()) < 0.03
    drawn = model.fill(place=far, seed=1)
    assert torch.equal(drawn["place"], far)  # what is given comes back as it is
    assert (drawn["word"] == right.numpy()).mean() > float(posterior.square().sum(1).mean()) - 0.05
    asked = np.arange(600) % 3
    places = torch.as_tensor(model.fill(word=asked)["place"])
    for k in range(3):
        assert_close(places[asked == k].mean(0), CENTRES[k], atol=0.25, rtol=0)
        assert 0.4 < float(places[asked == k].std(0).mean()) < 1.0
    assert_close(model.expect(word=[0, 1, 2])["place"], CENTRES, atol=0.25, rtol=0)
    both = model.sample(600, seed=2)
    near = (torch.as_tensor(both["place"])[:, None] - CENTRES).norm(dim=2).argmin(1)
    assert float((near == torch.tensor(both["word"])).double().mean()) > 0.93
    some = model.fill(place=far[:3], word=[None, -1, 2])
    assert some["word"][2] == 2


def test_what_is_known_or_missing_is_not_learnt_and_modalities_count_alike():
    image = Modality(shape=(2,), is_label=False, frame=Standard())
    label = Modality(shape=(3,), is_label=True, frame=Standard())
    space = SharedSpace(parts={"image": image, "label": label})
    loss = LinkedLoss(space, space, OneSidedLinear(), UniformTimes(), told=True, balance={})
    assert loss.factors == {"image": 5 / 4, "label": 5 / 6}
    code = torch.tensor([0, 2, 1])
    batch = {
        "units": {"image": torch.ones(3, 2), "label": label.units(code)},
        "labels": {"label": code},
        "known": torch.tensor([[False, False], [True, False], [False, False]]),
        "absent": torch.tensor([[False, False], [False, False], [False, True]]),
        "t": torch.full((3,), 0.5),
        "weight": torch.ones(3),
    }

    class Zero(torch.nn.Module):
        net = None

        def forward(self, x, t, cond=None):
            return torch.zeros_like(x)

        def weight(self, x, t):
            return {"denoised": torch.full((len(x),), 3.0)}

    zero = Zero()
    object.__setattr__(zero, "net", zero)
    found = loss(zero, batch, torch.Generator().manual_seed(0))
    # |0 - (1, 1)|^2 times the weight 3 of the network's units; the cross-entropy of three equal probabilities.
    assert_close(found["image"], 5 / 4 * torch.tensor([6.0, 0.0, 6.0]))
    assert_close(found["label"], 5 / 6 * math.log(3) * torch.tensor([1.0, 1.0, 0.0]))


def test_subsets_leave_a_target_to_be_drawn():
    assert len(subsets(3, [0, 1, 2])) == 6
    assert not bool(subsets(3, [1])[:, 1].any())
    assert len(subsets(1, [0])) == 0


def test_beside_images_labels_are_planes_and_come_back():
    parts = {
        "image": Modality(shape=(1, 4, 4), is_label=False, frame=Standard()),
        "label": Modality(shape=(3,), is_label=True, frame=Standard(shift=0.3, scale=0.4), weight=0.5),
    }
    space = SharedSpace.of(parts, as_images=True, who="test")
    assert space.shape == (4, 4, 4)
    values = {"image": torch.randn(2, 1, 4, 4), "label": torch.tensor([2, 0])}
    state = space.state(space.units(values))
    blocks = space.blocks(state)
    assert torch.equal(parts["label"].value(space.of_block("label", blocks["label"])), values["label"])
    assert torch.equal(parts["image"].value(space.of_block("image", blocks["image"])), values["image"])
    assert_close(space.expected(state)[:, :1], values["image"])


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"modalities": {}}, "modalities must be a table of 1 to 8"),
        ({"modalities": {"image": "pixels"}}, "modalities\\['image'\\] must be one of"),
        ({"modalities": {"two words": "rows"}}, "a name that can be an argument"),
        ({"weights": {"image": -1.0}}, "weights\\['image'\\] must be"),
        ({"weights": {"imge": 1.0}}, "a name in weights must be one of"),
        ({"targets": "imge"}, "every target must be one of image, label, got 'imge'. Did you mean 'image'"),
        ({"targets": ("image",), "told": False}, "no targets must be told"),
        ({"path": "linear"}, "one-sided|Gaussian"),
    ],
)
def test_settings_are_refused_by_name(settings, rule):
    with pytest.raises(InvalidInputError, match=rule):
        MultimodalDiffusion(**settings)


def test_data_are_refused_by_name(generator):
    x, label = clusters(60, generator)
    model = MultimodalDiffusion(net=NET, whiten=True, steps=2, batch_size=8)
    refused = [
        ({"image": x}, "label is needed"),
        ({"image": torch.ones(60, 2), "label": label}, "image must vary"),
        ({"image": x, "label": torch.zeros(60, dtype=torch.long)}, "label must vary"),
        ({"image": x, "label": torch.full((60,), -1)}, "some rows of label must have a label"),
        ({"image": torch.full((60, 2), math.nan), "label": label}, "image must be there in some rows"),
        (
            {"image": torch.where(torch.arange(2) > 0, x, math.nan), "label": label},
            "there whole, or be NaN alone",
        ),
        ({"image": x[:50], "label": label}, "as many rows"),
        ({"image": x, "label": label + 0.5}, "label must be labels, whole numbers or names"),
        ({"image": x, "labl": label}, "Did you mean 'label'"),
    ]
    for values, rule in refused:
        with pytest.raises(InvalidInputError, match=rule):
            model.fit(values)
    with pytest.raises(InvalidInputError, match="without told nothing may be missing"):
        model.clone().set_params(told=False).fit(image=x, label=torch.where(label > 0, label, -1))
    model.fit(image=x, label=label)
    asked = [
        ({}, "at least one modality must be given"),
        ({"label": [7]}, "label must be labels of the fit, 0 to 2"),
        ({"image": torch.zeros(2, 3)}, "event shape"),
        ({"lable": [1]}, "every argument must be a modality.*Did you mean 'label'"),
    ]
    for values, rule in asked:
        with pytest.raises(InvalidInputError, match=rule):
            model.fill(**values)


def smooth_halves(n, generator):
    """Smooth fields of 40 places with little noise: the left half tells the right one by its large directions."""
    place = torch.arange(40) / 6
    basis = torch.exp(-0.5 * (place[:, None] - torch.arange(7.0)).square())
    x = torch.randn(n, 7, generator=generator) @ basis.T + 0.02 * torch.randn(n, 40, generator=generator)
    return {"left": x[:, :20], "right": x[:, 20:]}


def near_diagonal(n, generator):
    """Two columns of correlation 0.9998, whose difference alone tells the label."""
    both, label = torch.randn(n, 1, generator=generator), torch.randint(2, (n,), generator=generator)
    apart = 0.02 * (label[:, None] - 0.5) + 0.002 * torch.randn(n, 1, generator=generator)
    return {"place": torch.cat([both + apart, both - apart], 1), "word": label}


def noisy_halves(n, generator):
    """Two large directions that both halves share, in noise of forty small ones."""
    way = torch.randn(2, 40, generator=torch.Generator().manual_seed(9))
    x = torch.randn(n, 2, generator=generator) @ way + 0.5 * torch.randn(n, 40, generator=generator)
    return {"left": x[:, :20], "right": x[:, 20:]}


@pytest.mark.slow
@pytest.mark.parametrize("world", [noisy_halves, near_diagonal])
def test_units_are_chosen_by_what_is_expected_of_held_out_rows(world, generator):
    data, held, test = (world(n, generator) for n in (400, 100, 200))
    modalities = {name: "rows" if x.ndim > 1 else "labels" for name, x in data.items()}
    settings = {"modalities": modalities, "net": NET, "steps": 200, "batch_size": 64, "lr": 1e-2, "warmup": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        auto = MultimodalDiffusion(**settings).fit(data, held=held)
    chosen = isinstance(auto.state["whole"].parts[next(iter(modalities))].frame, Whitened)
    left = {}
    for whiten in (True, False):
        model = MultimodalDiffusion(**settings, whiten=whiten).fit(data)
        left[whiten] = unexplained(model._errors(model.state, test))
    assert left[chosen] < 0.95 * left[not chosen], left
    assert chosen == (world is near_diagonal), left
    with pytest.warns(FitWarning, match="needs held-out rows of all modalities to compare units; units of"):
        plain = MultimodalDiffusion(**settings).fit(data)  # without held-out rows the rule of sizes
    assert isinstance(plain.state["whole"].parts[next(iter(modalities))].frame, Whitened)


@pytest.mark.slow
def test_a_linear_rival_that_wins_on_held_out_rows_is_named(generator):
    """Linear relations and hardly any training; none is named where the relation is no line."""
    data, held = (smooth_halves(n, generator) for n in (400, 100))
    told = "of 100 held-out rows, a Gaussian of all columns expects .* better: it leaves 0.[0-9]+ of the variance"
    settings = {"net": NET, "steps": 20, "batch_size": 64, "warmup": 0, "whiten": False}
    with pytest.warns(FitWarning, match=told):
        MultimodalDiffusion(modalities={"left": "rows", "right": "rows"}, **settings).fit(data, held=held)
    x = 2 * torch.rand(600, 1, generator=generator) - 1
    bent = {"a": x, "b": torch.cos(3 * x)}
    rows = {part: {name: v[cut] for name, v in bent.items()} for part, cut in
            (("data", slice(500)), ("held", slice(500, None)))}  # fmt: skip
    settings |= {"steps": 400, "lr": 1e-2}
    MultimodalDiffusion(modalities={"a": "rows", "b": "rows"}, targets=("b",), **settings).fit(
        rows["data"], held=rows["held"]
    )


def test_fractions_that_are_left_are_those_of_plain_sums():
    parts = {
        "a": Modality.fit("a", torch.tensor([[0.0], [4.0]]), 1.0, "test"),
        "b": Modality.fit("b", torch.tensor([0, 1, 1, 1]), 1.0, "test"),
    }
    held = {"a": torch.tensor([[1.0], [math.nan], [5.0]]), "b": torch.tensor([0, 1, -1])}
    found = errors_of(
        lambda known: {"a": torch.tensor([[2.0]]), "b": torch.tensor([[0.5, 0.5]])}, held, parts, ["a"]
    )
    assert [part.tolist() for part in found["a"]] == [
        [1.0],
        [1.0],
    ]  # the one row with both: |1 - 2|^2, |1 - 2|^2
    found = errors_of(lambda known: {"b": torch.tensor([[0.5, 0.5]])}, held, parts, ["b"])
    assert found["b"][0].tolist() == [0.5]
    assert_close(found["b"][1], torch.tensor([2 * 0.75**2]).double())
    assert unexplained({"b": (torch.tensor([1.0]), torch.tensor([4.0])), "a": found["b"]}) == pytest.approx(
        (0.25 + 0.5 / 1.125) / 2
    )


ROLES = {role.name: role for role in modality_roles({"image": "rows", "label": "labels"})}


def read_one(name, value, before=None):
    data, came = read((ROLES[name],), {name: value}, "test", before=before)
    return data[name], came


def test_missing_rows_and_labels_are_told_in_every_form():
    pandas = pytest.importorskip("pandas")
    codes = read_one("label", ["b", "", "a", None, " "])[0]
    assert codes.tolist() == [1, -1, 0, -1, -1]
    ordered = pandas.Categorical(["b", "a", None], categories=["b", "a"], ordered=True)
    assert read_one("label", ordered)[0].tolist() == [1, 0, -1]
    x = np.arange(8.0, dtype="float32").reshape(2, 4)
    found = read_one("image", [x[0], None, x[1]])[0]
    assert_close(found[[0, 2]], torch.from_numpy(x))
    assert found[1].isnan().all()
    with pytest.raises(InvalidInputError, match="some row of image must be there, got None alone"):
        read_one("image", [None, None])


@pytest.mark.parametrize("word", ["nan", "NaN", " nan ", "<NA>", "-1", "", "NaT"])
def test_words_for_a_missing_label_name_no_class(word, tmp_path):
    """The page advises lines of nan in files of labels, which became a class of that name."""
    codes, came = read_one("label", ["b", word, "a", "b"])
    assert codes.tolist() == [1, -1, 0, 1]
    assert came["label"].columns == ("a", "b")
    path = tmp_path / "labels.csv"
    path.write_text("kind\n" + "\n".join(["b", word or "nan", "a", "b"]) + "\n")
    codes, came = read_one("label", read_rows(str(path), ROLES["label"]))
    assert codes.tolist() == [1, -1, 0, 1]
    assert len(came["label"].columns) == 2


@pytest.mark.parametrize("word", ["none", "None", "NA", "n/a", "null", "nil", "?"])
def test_words_that_may_as_well_name_a_class_are_missing_with_a_warning(word):
    told = "test: 2 rows of label have no label: they say .*If this is a class, give it another name"
    with pytest.warns(AssumptionWarning, match=told):
        codes, came = read_one("label", ["b", word, "a", word])
    assert codes.tolist() == [1, -1, 0, -1]
    assert came["label"].columns == ("a", "b")
    assert read_one("label", ["b", None, "nano", "a"])[0].tolist() == [1, -1, 2, 0]


def test_two_classes_as_minus_one_and_one_and_names_as_numbers_are_refused():
    with pytest.raises(InvalidInputError, match="-1 among labels of label means missing, got 1 and -1 alone"):
        read_one("label", np.array([1, -1, 1, -1]))
    with pytest.raises(InvalidInputError, match="-1 among labels of label means missing"):
        read_one("label", ["1", "-1", "1"])
    _, came = read_one("label", np.array([1, -1, 0]))
    assert read_one("label", [1, -1], before=came)[0].tolist() == [1, -1]
    with pytest.raises(InvalidInputError, match="with few left out, got 2 different ones up to 90210"):
        read_one("label", np.array([90210, 10001]))


def test_vectors_in_other_units_are_told_of(generator):
    x, label = clusters(60, generator)
    model = MultimodalDiffusion(net=NET, whiten=True, steps=2, batch_size=8).fit(image=x, label=label)
    with pytest.warns(OutsideWarning, match="column 1 of image lies"):
        model.expect(image=x[:5] + torch.tensor([0.0, 273.0]))


def test_words_and_tables_go_through_the_command_by_name(tmp_path):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({"a": rng.normal(size=40), "b": 5 + rng.normal(size=40)})
    words = np.where(table.a > 0, "high", "low")
    model = MultimodalDiffusion(
        modalities={"place": "rows", "word": "labels"}, net=NET, whiten=True, steps=5, batch_size=8, n_steps=2
    ).fit(place=table, word=words)
    found = model.fill(place=table[10:13])
    assert (
        found["place"].index.tolist()
        == model.expect(place=table[10:13])["place"].index.tolist()
        == [10, 11, 12]
    )
    model.save(tmp_path / "model")
    table[["b", "a"]][10:13].to_csv(tmp_path / "place.csv", index=False)  # in another order
    (tmp_path / "header.csv").write_text("word\nhigh\nlow\n")
    (tmp_path / "bare.csv").write_text("high\nlow\n")

    def filled(name, value):
        out = tmp_path / "out.csv"
        words = ["fill", str(tmp_path / "model"), f"--{name}", str(value), "--out", str(out), "--force"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return pandas.read_csv(out)

    own = filled("place", tmp_path / "place.csv")
    assert list(own.columns) == ["place_a", "place_b", "word"]
    np.testing.assert_allclose(own[["place_a", "place_b"]], table[10:13])
    assert own["word"].tolist() == found["word"].tolist()
    assert filled("word", "low")["word"].tolist() == ["low"]
    for name in ("header.csv", "bare.csv"):
        assert filled("word", tmp_path / name)["word"].tolist() == ["high", "low"]


def test_labels_that_no_row_had_are_never_answered_and_never_taken():
    """Labels 1, 2, 3 have no 0; it was drawn, expected and listed."""
    rng = np.random.default_rng(0)
    label = rng.integers(1, 4, 60)
    model = MultimodalDiffusion(
        modalities={"x": "rows", "label": "labels"}, net=NET, whiten=True, steps=2, batch_size=8, n_steps=2
    ).fit(x=rng.normal(size=(60, 2)), label=label)
    assert set(model.fill(x=rng.normal(size=(200, 2)))["label"].tolist()) <= {1, 2, 3}
    chances = model.expect(x=rng.normal(size=(20, 2)))["label"]
    assert chances.shape == (20, 4)
    np.testing.assert_allclose(chances[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-4)
    for unknown in (0, 5):
        with pytest.raises(
            InvalidInputError, match=rf"label must be labels of the fit, 1 to 3, got {unknown}"
        ):
            model.fill(label=[2, unknown])


def test_units_that_were_not_compared_are_told_of():
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(60, 2)), "y": rng.normal(size=(60, 3))}
    settings = {"modalities": {"x": "rows", "y": "rows"}, "net": NET, "steps": 2, "batch_size": 8}
    told = (
        "whiten='auto' needs held-out rows of all modalities to compare units; units of x, y are uncorrelated"
    )
    with pytest.warns(FitWarning, match=told):
        MultimodalDiffusion(**settings).fit(data)
    for whiten in (True, False):
        MultimodalDiffusion(**settings, whiten=whiten).fit(data)  # chosen: nothing to tell
