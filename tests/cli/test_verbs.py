"""Commands made from the capabilities of a stored method."""

from collections import Counter

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import interpolants
from interpolants.cli.app import app
from interpolants.cli.verbs import verbs
from interpolants.foundations.cards import load_cards
from interpolants.methods import ExactGP, FlowMap
from rings import ABSENT

RUN = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("verbs")
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    flow = FlowMap(
        path="one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=3, batch_size=16
    )
    flow.fit(x1=x, cond=["left", "right"] * 50).save(place / "flow")
    np.save(place / "x.npy", x[:5].numpy())
    return place


def test_the_arguments_of_a_function_are_those_of_its_command(folder):
    out = folder / "y.npy"
    done = RUN.invoke(
        app,
        [
            "transport",
            str(folder / "flow"),
            str(folder / "x.npy"),
            "--cond",
            "left",
            "--n-steps",
            "2",
            "-o",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.output
    flow = interpolants.load(folder / "flow")
    assert np.array_equal(np.load(out), flow.transport(np.load(folder / "x.npy"), cond="left", n_steps=2))


def test_columns_of_a_file_are_found_by_their_names(folder):
    import pandas

    rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).numpy()
    flow = FlowMap(
        path="one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=3, batch_size=16
    )
    flow.fit(x1=pandas.DataFrame(rows, columns=["a", "b"])).save(folder / "named")
    pandas.DataFrame(rows[:5, ::-1], columns=["b", "a"]).to_csv(folder / "turned.csv", index=False)
    out = folder / "turned.npy"
    done = RUN.invoke(app, ["transport", str(folder / "named"), str(folder / "turned.csv"), "-o", str(out)])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(np.load(out), flow.transport(rows[:5]), rtol=1e-5)  # the file is float64
    (folder / "other.csv").write_text("a,c\n1.0,2.0\n")
    done = RUN.invoke(app, ["transport", str(folder / "named"), str(folder / "other.csv")])
    assert done.exit_code == 2
    assert "'b'" in done.output


def test_conditions_may_be_names(folder):
    out = folder / "s.npy"
    words = ["sample", str(folder / "flow"), "-n", "4", "--seed", "3", "--cond", "left", "--out", str(out)]
    done = RUN.invoke(app, words)
    assert done.exit_code == 0, done.output
    wanted = interpolants.load(folder / "flow").sample(4, seed=3, cond="left")
    assert np.array_equal(np.load(out), wanted.numpy())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["transport", "flow", "x.npy", "--n-stepps", "2"], "n-steps"),
        # The second wording is that of the method, which Typer 0.16 leaves to say it.
        (["transport", "flow"], ("Missing argument", "missing a required argument: 'x'")),
        (["jump", "flow", "x.npy", "--s", "0"], ("--t", "missing a required argument: 't'")),
        (["jump", "flow", "x.npy", "--cond", "left", "--s", "0", "--t", "7"], "must lie in [0, 1]"),
        (["restore", "flow", "x.npy"], "It can"),
        (["sample", "flow", "-n", "2"], "fitted with cond needs it in every call"),
        (["transport", "nowhere", "x.npy"], "must contain a trained model"),
    ],
)
def test_mistakes_end_with_code_two_and_no_traceback(folder, words, said):
    placed = [str(folder / w) if w in ("flow", "x.npy", "nowhere") else w for w in words]
    done = RUN.invoke(app, placed)
    assert done.exit_code == 2, done.output
    wordings = (said,) if isinstance(said, str) else said
    assert any(one in done.output + done.stderr for one in wordings)
    assert "Traceback" not in done.output


def test_the_cards_verbs_are_the_capabilities_of_their_classes():
    from interpolants.foundations.cards import load_cards
    from interpolants.framework.capabilities import capabilities_of

    for card in load_cards():
        if card.kind == "method":
            entry = card.load_entry()
            assert sorted(card.verbs) == sorted(capabilities_of(entry)), card.id


def test_predictions_are_a_table_and_switches_can_be_turned_off(folder):
    import pandas

    x = torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = pandas.DataFrame(x.numpy(), columns=["place", "time"])
    level = pandas.Series(np.sin(5 * x[:, 0].numpy()), name="level")
    model = ExactGP(steps=3).fit(table, level)
    model.save(folder / "gp")
    table.iloc[:4, ::-1].to_csv(folder / "new.csv", index=False)
    for words, noise in (([], True), (["--no-noise"], False)):
        out = folder / f"predicted-{noise}.csv"
        ask = ["predict", str(folder / "gp"), str(folder / "new.csv"), "-o", str(out), *words]
        done = RUN.invoke(app, ask)
        assert done.exit_code == 0, done.output
        found, expected = pandas.read_csv(out), model.predict(table[:4], noise=noise)
        assert list(found.columns) == ["level_mean", "level_std", "level_0.05", "level_0.95"]
        assert np.allclose(found["level_std"], expected.std)
        assert np.allclose(found["level_0.95"], expected.quantile(0.95))
    ask = ["predict", str(folder / "gp"), str(folder / "new.csv"), "-o", str(folder / "joint.csv"), "--joint"]
    assert RUN.invoke(app, ask).exit_code == 0
    found, expected = pandas.read_csv(folder / "joint.csv"), model.predict(table[:4], joint=True)
    assert np.allclose(found[[f"level_cov_{i}" for i in range(4)]], expected.covariance[0])
    done = RUN.invoke(app, [*ask[:3], "--joint"])
    assert "level_cov_0" not in done.output  # a terminal has no room for them
    assert "level_mean" in done.output
    table.to_csv(folder / "many.csv", index=False)
    done = RUN.invoke(app, ["predict", str(folder / "gp"), str(folder / "many.csv")])
    assert done.output.split()[:4] == ["level_mean", "level_std", "level_0.05", "level_0.95"]
    assert "and 28 more rows" in done.output


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_every_verb_has_a_page_before_any_run_exists(word):
    for verb in verbs():
        shown = RUN.invoke(app, [verb, word])
        assert shown.exit_code == 0, (verb, shown.output)
        able = [card.id for card in load_cards() if verb.replace("-", "_") in card.verbs]
        assert all(name in shown.stdout for name in able), verb
        assert f"interpolants {verb} runs/" in shown.stdout


def test_help_after_the_run_lists_the_options_of_its_method(folder):
    shown = RUN.invoke(app, ["transport", str(folder / "flow"), "--help"])
    assert shown.exit_code == 0
    assert "--n-steps" in shown.stdout
    assert "Methods:" not in shown.stdout


def test_one_card_has_the_help_text_of_each_verb():
    texts = Counter(verb for card in load_cards() for verb in card.verb_help)
    assert set(texts.values()) == {1}
    if not ABSENT:
        assert set(texts) == {verb for card in load_cards() for verb in card.verbs}
