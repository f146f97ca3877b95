"""What is shown of a run: stored facts, journeys of points, measurements; and what is refused."""

import os
import shutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.bridge.bridge import Bridge
from interpolants.metrics.energy_distance import energy_distance
from interpolants.runs import values
from interpolants.web import open_runs
from interpolants.web.bridge_motion import IMAGE_FRAMES, Journey, plan
from interpolants.web.measurements import TIMES, Judgement, measure
from interpolants.web.recipe_places import closed
from interpolants.web.run_page import page_of
from interpolants.web.work import CancelledError, Work
from web.conftest import LEVELS, NET, folder_of, task

FIRST, SECOND, PICTURES, SOLID, CLOSED, HALF, LINE = range(7)
NAMES = ("first", "second", "pictures", "solid", "closed", "half", "line")


@pytest.fixture(scope="module")
def runs(trained):
    return open_runs([trained / name for name in NAMES], allowed=[trained])


def carried(shown, **given):
    """The facts, the states of each panel, and the data of both ends."""
    answer = plan(Journey(**given), shown).make(Work())
    facts, panels = answer.facts, len(answer.facts["panels"])
    kind = np.uint8 if facts["kind"] == "images" else np.float32
    blocks = [np.frombuffer(block, kind) for block in answer.blocks]
    event = facts.get("shape", [2])
    states = [
        b.reshape(len(p["times"]), facts["n"], *event) for b, p in zip(blocks, facts["panels"], strict=False)
    ]
    return facts, states, [block.reshape(-1, 2) for block in blocks[panels:]]


def measured(runs, **given):
    return measure(Judgement(**given), runs)(Work()).facts


# --- what is stored --------------------------------------------------------------------------------------------


def test_every_bridge_says_what_it_can_do(runs):
    pages = [page_of(shown, k) for k, shown in enumerate(runs)]
    assert [page["name"] for page in pages] == list(NAMES)
    assert [page["journey"] is not None for page in pages] == [True, True, True, True, False, True, True]
    assert [k for k, page in enumerate(pages) if page["journey"] and page["journey"]["is_image"]] == [
        PICTURES
    ]
    assert pages[PICTURES]["journey"]["classes"] == ["0", "1"]
    assert [pages[k]["journey"]["can_score"] for k in (FIRST, SOLID, LINE)] == [True, False, True]
    assert [runs[k].rows.held_out for k in (FIRST, PICTURES, HALF, LINE)] == [True, True, True, False]
    assert pages[SOLID]["journey"]["shape"] == [3]


def test_the_rows_are_those_of_the_test_part_with_their_labels(runs):
    rows, task = runs[PICTURES].rows, runs[PICTURES].work.task
    torch.testing.assert_close(rows.x1, task.test["x1"].float())
    assert rows.cond.tolist() == task.test["cond"].tolist()
    assert len(rows.x1) == 120


def test_rows_fall_back_to_those_of_the_bridge_where_the_data_are_gone_or_others(trained, tmp_path):
    """Other rows would be parted otherwise, and rows that were learnt from shown as held out."""
    folder = shutil.copytree(trained / "solid", tmp_path / "solid")
    recipe = (folder / "recipe.json").read_text()
    np.save(tmp_path / "other.npy", np.load(trained / "b.npy")[::-1])
    allowed = [trained, tmp_path]
    assert open_runs([folder], allowed=allowed)[0].rows.held_out
    for file in (trained / "elsewhere.npy", tmp_path / "other.npy"):
        (folder / "recipe.json").write_text(recipe.replace(str(trained / "b.npy"), str(file)))
        (shown,) = open_runs([folder], allowed=allowed)
        assert len(shown.rows.x1) == 400
        assert not shown.rows.held_out


def test_a_recipe_opens_no_file_outside_of_its_run_unless_it_is_allowed(trained, tmp_path, monkeypatch):
    """A run may come from anybody; a page says what its recipe names, and how to allow it."""
    folder, opened = shutil.copytree(trained / "solid", tmp_path / "solid"), []
    before = values.read_value
    monkeypatch.setattr(values, "read_value", lambda *given: opened.append(given) or before(*given))
    (shown,) = open_runs([folder])
    assert len(shown.rows.x1) == 400
    assert not shown.rows.held_out
    finding = page_of(shown, 0)["findings"][0]["text"]
    assert f"names '{trained}{os.sep}" in finding
    assert "lies outside of the run and is not opened" in finding
    assert "--data" in finding
    assert opened == []
    places = ([trained], [trained / "a.npy", trained / "b.npy"])
    for allowed in places:
        (shown,) = open_runs([folder], allowed=allowed)
        assert shown.closed == ""
        assert shown.rows.held_out
    assert opened
    assert open_runs([folder], allowed=[trained / "a.npy"])[0].closed
    with pytest.raises(InvalidInputError, match="--data must be a file or folder that there is"):
        open_runs([folder], allowed=[tmp_path / "nowhere"])


def test_what_lies_in_the_run_is_opened_but_for_links_and_what_is_endless(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "a.npy").touch()
    (run / "link.npy").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").touch()
    monkeypatch.chdir(tmp_path)
    assert closed({"x1": {"file": "run/a.npy"}, "x0": {"file": "run/nowhere.npy"}}, run, ()) == ""
    for table in ({"file": "run/link.npy"}, "secret", {"dataset": "nile", "options": {"path": "secret"}},
                  {"member": "moons", "settings": {"recordings": ["secret"]}}, {"task": "../../secret"},
                  {"run": str(tmp_path)}, {"file": "run/../secret"}, {"file": "/dev/zero"}):  # fmt: skip
        assert "is not opened" in closed({"x1": table}, run, ())
    (tmp_path / "moons").touch()  # a name of a member is no file
    assert closed({"x1": {"problem": "moons", "n": 10_000}}, run, ()) == ""
    assert closed({"x1": {"member": "moons"}}, run, ()) == ""
    assert "no folder may name" in closed({"x1": {"member": "executor/ray"}}, run, ())
    assert "are not drawn: n must be at most" in closed({"x1": {"problem": "moons", "n": 10**12}}, run, ())
    assert closed({"x1": {"file": "x" * 5000}, "x0": {"file": "a\0b"}}, run, ()) == ""


def test_a_page_holds_what_the_run_stored(runs):
    page = page_of(runs[FIRST], FIRST)
    assert (page["title"], page["state"]) == ("Noise to points", "done")
    assert page["card"]["title"] == "Bridge between two distributions"
    assert page["card"]["formulas"] == ["x_t = (1 - t) x0 + t x1, x0 Gaussian"]
    assert page["settings"]["Method"]["net"]["width"] == 32
    assert page["settings"]["Data"] == {"x1": {"problem": "eight_gaussians", "n": 1000}}
    assert [row["step"] for row in page["stages"]["match"]] == [10, 20, 30, 40, 50, 60]
    assert page["training"].startswith("match: 60 steps in ")
    scores = {score["name"]: score for score in page["scores"]}
    assert {"noise_levels.sliced_w2_ode", "held_out_likelihood.log_likelihood"} <= set(scores)
    assert scores["noise_levels.sliced_w2_ode"]["rivals"].keys() == {"gaussian_fit"}
    (claim,) = page["claims"]
    assert (claim["claim"]["says"], claim["outcome"]) == (
        "noise_levels.sliced_w2_ode < 100 gaussian_fit",
        "holds",
    )
    (lines,) = page["texts"].values()
    assert lines[0].startswith("| noise level | solver |")
    assert "noise_levels-levels" in [figure["name"] for figure in page["figures"]]
    assert all(figure["alt"] for figure in page["figures"])


def test_a_rival_that_wins_is_told_first(trained, tmp_path):
    folder = tmp_path / "beaten"
    ask = {**LEVELS, "rivals": [{"name": "longer", "twin": {"steps": 300}}]}
    poor = {"steps": 2, "standardize": True, "precondition": False}
    folder_of(task(ask=[ask], method=poor), folder).run()
    (shown,) = open_runs([folder])
    assert "longer is better in" in page_of(shown, 0)["findings"][0]["text"]


def test_a_method_that_is_no_bridge_has_all_of_a_page_but_the_journey(runs):
    page = page_of(runs[CLOSED], CLOSED)
    assert (page["kind"], page["journey"]) == ("flow_map", None)
    assert page["card"]["formulas"] == ["x_t = (1 - t) x0 + t x1, x0 Gaussian"]
    assert page["stages"]["match"]
    assert [score["name"] for score in page["scores"]] == [
        "sample_quality.sliced_w2",
        "sample_quality.energy_distance",
    ]
    assert [figure["name"] for figure in page["figures"]] == ["sample_quality-samples"]
    assert {verb["verb"] for verb in page["verbs"]} == {"jump", "log_prob", "sample", "transport"}
    assert all(verb["about"] for verb in page["verbs"])


def test_a_method_that_was_saved_by_itself_tells_its_settings_and_its_history(runs, trained):
    page = page_of(runs[LINE], LINE)
    assert page["state"] == "done"
    assert page["settings"]["Method"]["path"] == "one_sided_linear"
    assert [row["step"] for row in page["stages"]["match"]] == [40]
    assert page["training"].startswith("match: 40 steps; ")
    commands = [verb["command"] for verb in page["verbs"]]
    assert commands[:3] == [
        f"interpolants check {trained}/line",
        f"interpolants classify {trained}/line x.csv",
        f"interpolants complete {trained}/line x.csv",
    ]


def test_a_verb_that_is_not_there_says_why(trained, tmp_path):
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    Bridge("mirror", net=NET, seed=0).fit(x1=x, steps=2, progress=False).save(tmp_path / "mirror")
    (shown,) = open_runs([tmp_path / "mirror"])
    why = {verb["verb"]: verb["why"] for verb in page_of(shown, 0)["verbs"]}
    assert "no density to start from" in why["log_prob"]
    assert why["transport"] == ""


def test_seeds_of_one_task_are_judged_together_and_shown_apart(trained):
    pages = [page_of(shown, k) for k, shown in enumerate(open_runs([trained / "seeds"]))]
    assert [page["settings"]["Method"]["seed"] for page in pages] == [0, 1]
    assert [len(page["scores"]) for page in pages] == [2, 2]
    assert [list(page["texts"]) for page in pages] == [["self_test/Each check"]] * 2


# --- figures ---------------------------------------------------------------------------------------------------


def test_a_figure_is_drawn_once_a_theme_and_anew_when_results_change(trained, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr("interpolants.web.runs.draw", lambda *a, **k: drawn.append(a) or b"a picture")
    folder = shutil.copytree(trained / "closed", tmp_path / "closed")
    (shown,) = open_runs([folder])
    for theme in ("light", "light", "dark", "dark"):
        assert shown.drawn(0, theme) == b"a picture"
    assert len(drawn) == 2
    os.utime(folder / "results", (1.0, 1.0))
    shown.drawn(0, "light")
    assert len(drawn) == 3
    with pytest.raises(InvalidInputError, match="has 1 figures, counted from 0, got 1"):
        shown.drawn(1, "light")


# --- journeys --------------------------------------------------------------------------------------------------


def test_the_same_starts_go_through_every_level_and_arrive_where_the_library_carries_them(runs):
    facts, states, context = carried(runs, runs=[FIRST], eps=[0.0, 0.5], n=100, n_steps=20, seed=3)
    bridge, rows = runs[FIRST].bridge(), torch.tensor(facts["rows"])
    np.testing.assert_array_equal(states[0][0], states[1][0])
    np.testing.assert_allclose(states[0][0], runs[FIRST].rows.x0[rows].numpy(), atol=1e-5)
    for panel, eps in zip(states, (0.0, 0.5), strict=True):
        expected = bridge.transport(runs[FIRST].rows.x0[rows], eps=eps, seed=3, n_steps=20)
        np.testing.assert_allclose(panel[-1], expected.numpy(), atol=1e-4)
    assert [p["nfe"] for p in facts["panels"]] == [40, 40]
    assert facts["panels"][0]["times"][0] == 0.0
    assert facts["panels"][0]["times"][-1] == 1.0
    assert len(context) == 2
    inside = [(np.abs(c[:, k]) < 20).mean() for c in context for k in (0, 1)]
    assert min(inside) > 0.9


def test_backward_begins_at_the_data_and_is_the_reverse(runs):
    facts, (states,), _ = carried(runs, runs=[FIRST], way="backward", n=60, n_steps=20)
    rows = torch.tensor(facts["rows"])
    x1 = runs[FIRST].rows.x1[rows]
    np.testing.assert_allclose(states[0], x1.numpy(), atol=1e-5)
    expected = runs[FIRST].bridge().transport(x1, reverse=True, n_steps=20)
    np.testing.assert_allclose(states[-1], expected.numpy(), atol=1e-4)
    assert facts["panels"][0]["times"][0] == 1.0
    assert facts["panels"][0]["times"][-1] == 0.0


def test_there_and_back_returns_by_the_ode_and_not_by_the_sde(runs):
    given = {"runs": [FIRST], "way": "there and back", "start": "one", "row": 7, "n": 50, "n_steps": 100}
    facts, (flow, noisy), _ = carried(runs, **given, eps=[0.0, 1.0])
    times = facts["panels"][0]["times"]
    assert times[0] == times[-1] == 1.0
    assert min(times) == 0.0
    assert facts["panels"][0]["miss"] < 0.01 < 0.1 < facts["panels"][1]["miss"]
    assert facts["panels"][0]["spread"] < 1e-4 < 0.1 < facts["panels"][1]["spread"]
    np.testing.assert_allclose(flow[0], np.tile(runs[FIRST].rows.x1[7].numpy(), (50, 1)), atol=1e-5)
    assert noisy[-1].std() > 0.1


def test_the_distance_of_what_arrived_is_in_standard_units(runs):
    facts, states, _ = carried(runs, runs=[FIRST], eps=[0.0], n=100, n_steps=10)
    goal = runs[FIRST].rows.x1
    spread = goal.double().std(0, correction=0)
    assert (spread - 1).abs().max() > 0.1  # other units would be seen
    known = energy_distance(torch.tensor(states[0][-1]).double() / spread, goal[:1500].double() / spread)
    assert abs(facts["panels"][0]["distance"][0] - known.value) < 0.1 * known.error


def test_two_runs_carry_the_same_points(runs):
    facts, (one, other), _ = carried(runs, runs=[FIRST, SECOND], n=50, n_steps=20)
    np.testing.assert_array_equal(one[0], other[0])
    assert np.abs(one[-1] - other[-1]).max() > 1e-3
    expected = runs[SECOND].bridge().transport(runs[FIRST].rows.x0[facts["rows"]], n_steps=20)
    np.testing.assert_allclose(other[-1], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("way", ["backward", "there and back"])
@pytest.mark.parametrize("seed", [0, 3])
def test_ways_that_begin_at_the_data_begin_with_rows_of_the_label(runs, way, seed):
    cond = runs[PICTURES].rows.cond
    for label in (0, 1):
        facts, _, _ = carried(runs, runs=[PICTURES], way=way, n=9, n_steps=2, label=label, seed=seed)
        assert facts["n"] == len(set(facts["rows"])) == 9
        assert cond[facts["rows"]].tolist() == [label] * 9
    chosen = carried(runs, runs=[PICTURES], way=way, start="one", row=5, n=2, n_steps=2, label=0, seed=seed)
    assert chosen[0]["rows"] == [5, 5]


def test_images_come_as_bytes_and_a_label_decides_what_is_made(runs):
    for label, bright in ((0, slice(0, 3)), (1, slice(3, 6))):
        facts, (states,), _ = carried(runs, runs=[PICTURES], n=9, n_steps=20, label=label)
        assert facts["kind"] == "images"
        assert states.shape == (21, 9, 1, 6, 6)
        assert states.shape[0] <= IMAGE_FRAMES
        last, dark = states[-1].astype(float), slice(3, 6) if label == 0 else slice(0, 3)
        assert last[..., bright].mean() > last[..., dark].mean() + 10
    assert carried(runs, runs=[PICTURES], n=4, n_steps=5)[1][0].dtype == np.uint8


def test_three_coordinates_are_shown_by_two_and_one_against_time(runs):
    facts, (states,), _ = carried(runs, runs=[SOLID], n=30, n_steps=10)
    assert facts["axes"][0].startswith("PC 1")
    rows = runs[SOLID].rows.x0[facts["rows"]]
    np.testing.assert_allclose(states[0], runs[SOLID].plane(rows.numpy()), atol=1e-4)
    facts, (states,), _ = carried(runs, runs=[LINE], n=30, n_steps=10)
    assert facts["axes"] == ["x", "time t"]
    np.testing.assert_allclose(states[:, 0, 1], facts["panels"][0]["times"], atol=1e-5)


def test_a_cancelled_journey_stops_at_the_next_call_of_the_network(runs):
    work = Work()
    work.cancel()
    with pytest.raises(CancelledError):
        plan(Journey(runs=[FIRST]), runs).make(work)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"runs": [7]}, "there are runs 0 to 6, got 7"),
        ({"runs": [CLOSED]}, "only a bridge shows samples on their way, got 'closed', of kind flow_map"),
        ({"runs": [FIRST, SOLID]}, r"data have one shape, got \(2,\) and \(3,\)"),
        ({"runs": [FIRST], "label": 1}, "the run has no labels, got 1"),
        ({"runs": [PICTURES], "label": 2, "n": 4}, "label must be one of the 2 of the run, got 2"),
        ({"runs": [PICTURES], "n": 65}, "at most 64 images can be shown, got 65"),
        (
            {
                "runs": [FIRST],
                "n": 2000,
                "n_steps": 400,
                "eps": [0.0, 0.1, 0.2, 0.3],
                "way": "there and back",
            },
            "must be at most 20,000,000, got 25,600,000. Use fewer",
        ),
    ],
)
def test_journeys_that_cannot_be_made_are_refused_with_value_and_remedy(runs, given, told):
    with pytest.raises(InvalidInputError, match=told):
        plan(Journey(**given), runs)


def test_a_row_that_is_not_there_is_refused(runs):
    with pytest.raises(InvalidInputError, match="row must be below 200, got 999999"):
        plan(Journey(runs=[FIRST], start="one", row=999_999, way="backward"), runs).make(Work())


@pytest.mark.parametrize(
    "given",
    [
        {"runs": []},
        {"runs": [0, 1, 2]},
        {"runs": [-1]},
        {"runs": ["../a"]},
        {"runs": [0], "eps": []},
        {"runs": [0], "eps": [-1.0]},
        {"runs": [0], "eps": [float("nan")]},
        {"runs": [0], "eps": [0.0] * 5},
        {"runs": [0], "n": 0},
        {"runs": [0], "n_steps": 401},
        {"runs": [0], "way": "sideways"},
        {"runs": [0], "path": "/etc"},
        {"runs": [0], "eps": ["0"]},
        {"runs": [0], "n": True},
    ],
)
def test_questions_out_of_range_are_refused(given):
    with pytest.raises(ValidationError):
        Journey.model_validate(given)


# --- measurements ----------------------------------------------------------------------------------------------


def test_the_loss_by_time_averages_to_the_loss_of_training(runs):
    """Over uniform times; both have noise, hence four standard errors and the EMA's lag."""
    found = measured(runs, run=SECOND, what="errors")
    rows = found["loss"]["velocity"]
    assert len(rows) == TIMES
    assert found["held_out"]
    mean = np.mean([row[1] for row in rows])
    error = np.sqrt(np.sum([row[2] ** 2 for row in rows])) / TIMES
    last = runs[SECOND].method().history[-1]["loss"]
    assert abs(mean - last) < 4 * error + 0.25 * last
    assert len(found["errors"]) == 10
    assert min(min(row[1:]) for row in found["errors"]) >= 0


def test_without_held_out_data_the_loss_is_told_to_be_of_training_data(runs):
    found = measured(runs, run=LINE, what="errors")
    assert not found["held_out"]
    assert found["errors"] is None
    assert "training has not seen" in found["why"]


def test_two_learnt_quantities_have_two_curves(runs):
    assert set(measured(runs, run=SOLID, what="errors")["loss"]) == {"mean_rate", "noise"}


def test_log_likelihoods_are_those_of_the_library(runs):
    found = measured(runs, run=FIRST, what="likelihood", n=80)
    bridge, rows = runs[FIRST].bridge(), runs[FIRST].rows
    expected = bridge.log_prob(rows.x1[:80], method="midpoint", n_steps=40)
    np.testing.assert_allclose(found["log_prob"]["heldout"], expected.numpy(), atol=1e-4)
    assert len(found["log_prob"]["train"]) == 80


def test_many_coordinates_are_scored_with_their_labels(runs):
    found = measured(runs, run=PICTURES, what="likelihood", n=20)
    assert found["dimension"] == 36
    assert np.isfinite(found["log_prob"]["heldout"]).all()


def test_the_self_test_is_that_of_the_bridge(runs):
    found = measured(runs, run=FIRST, what="check", n=500)
    expected = runs[FIRST].bridge().check(n=500, seed=0)
    assert [row["name"] for row in found["checks"]] == [c.name for c in expected.checks]
    assert [row["verdict"] for row in found["checks"]] == [c.verdict for c in expected.checks]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"run": 7, "what": "check"}, "there are runs 0 to 6"),
        ({"run": CLOSED, "what": "check"}, "only a bridge shows samples"),
        ({"run": SOLID, "what": "likelihood"}, "need the density of rho0.*Fit it with a leg"),
        ({"run": PICTURES, "what": "likelihood", "n": 2000}, "must be at most 2,000,000, got 2,880,000"),
    ],
)
def test_measurements_that_cannot_be_made_are_refused(runs, given, told):
    with pytest.raises(InvalidInputError, match=told):
        measure(Judgement(**given), runs)


@pytest.mark.slow
def test_errors_by_time_are_over_pairs_of_the_coupling(tmp_path):
    """From a normal law to itself by optimal pairs: hardly anything moves, where independent pairs cross."""
    x0, x1 = np.random.default_rng(0).normal(size=(2, 600, 2))
    net = {"kind": "mlp", "width": 32, "depth": 2}
    bridge = Bridge(coupling="minibatch_ot", net=net, steps=150, batch_size=256, held_out=0.4, seed=0).fit(
        x0, x1
    )
    bridge.save(tmp_path / "optimal")
    found = measured(open_runs([tmp_path / "optimal"]), run=0, what="errors")
    rows = bridge.examples(240)
    apart = bridge.loss_at(0.475, rows.x0, rows.x1)["mean_rate"].mean()
    (_, loss, error) = found["loss"]["mean_rate"][9]
    assert loss + 5 * error < float(apart)
    over_pairs = sum(velocity for _, velocity, _ in found["errors"]) / len(found["errors"])
    assert over_pairs < 0.4  # 0.6 if pairs are drawn apart


def test_a_cancelled_measurement_stops(runs):
    for what in ("errors", "likelihood", "check"):
        work = Work()
        work.cancel()
        with pytest.raises(CancelledError):
            measure(Judgement(run=FIRST, what=what), runs)(work)
