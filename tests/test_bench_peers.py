"""The harness beside published libraries: that its cases do the same work, and what it says of them."""

import sys
from pathlib import Path

import pytest
import torch
from benchmarks.peers.bench import Bench, Case, Item, Measured
from benchmarks.peers.items import coupling, log_p, ode, sde, training
from benchmarks.peers.nets import PlainMLP
from benchmarks.peers.page import BEGIN, END, put_into, ratios_to_peers, summary
from benchmarks.peers.run import run
from benchmarks.timing import Row, compare


@pytest.mark.slow
def test_the_quick_form_runs_without_any_peer():
    said: list[str] = []
    run(only="training,training_two,sde,light_bridge", quick=True, report=said.append)
    page = "\n".join(said)
    for title in ("Training step, MLP", "velocity and noise", "Euler-Maruyama", "light Schroedinger bridge"):
        assert title in page
    assert page.count("| ours ") >= 6
    assert "Left out" in page  # checkouts, at least


@pytest.mark.slow
def test_all_of_it_runs_in_its_quick_form():
    said: list[str] = []
    run(quick=True, report=said.append)
    assert "fresh process" in "\n".join(said)


def test_our_samples_are_those_of_the_loop_by_hand():
    for item in ode.items(Bench(quick=True)):
        assert float(item.columns["largest difference"]["ours"]) < 1e-5


def test_our_densities_are_those_of_the_loop_by_hand():
    for item in log_p.items(Bench(quick=True)):
        means = item.columns["mean, nats"]
        by_hand = [float(value) for name, value in means.items() if name.startswith("by hand")]
        # a random probe of our own gives another estimate
        near = 1e-3 if "exact" in item.title else 3.0
        assert abs(float(means["ours"]) - by_hand[0]) < near


def test_our_pairs_are_optimal_and_the_approximate_ones_nearly():
    for item in coupling.items(Bench(quick=True)):
        excess = item.columns["excess"]
        assert abs(float(excess["ours"])) < 1e-4
        assert all(float(value) < 0.2 for value in excess.values())


@pytest.mark.slow
def test_the_sde_by_hand_has_the_moments_of_ours():
    item = sde.item(Bench(quick=True), 2, 20_000, 4)
    hand, ours = (next(case for case in item.cases if case.by == by).work() for by in ("hand", "ours"))
    assert isinstance(hand, torch.Tensor)
    assert isinstance(ours, torch.Tensor)
    assert (hand.mean(0) - ours.mean(0)).abs().max() < 0.05  # of one draw each
    assert (hand.var(0) / ours.var(0) - 1).abs().max() < 0.05


def test_our_training_changes_the_network_and_leaves_the_given_one():
    net, pool = PlainMLP(2), torch.randn(100, 2)
    before = [p.clone() for p in net.parameters()]
    result = training.ours(net, pool, 16, 3)()
    assert result.steps == 3
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def _item(*cases: Case) -> Item:
    return Item("Some work", [Case("bare", lambda: None, "bare"), *cases])


@pytest.mark.slow
def test_a_peer_that_breaks_is_left_out_with_a_note():
    def broken() -> None:
        raise RuntimeError("no such option\nand more")

    bench = Bench(quick=True)
    found = bench.measure(_item(Case("theirs", broken), Case("fine", lambda: None)))
    assert [row.case for row in found.rows] == ["bare", "fine"]
    assert bench.notes == ["Some work: theirs failed: RuntimeError: no such option"]


def test_ours_must_not_break():
    def broken() -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        Bench(quick=True).measure(_item(Case("ours", broken, "ours")))


def test_missing_peers_are_noted_once(tmp_path: Path):
    bench = Bench(src=tmp_path)
    assert bench.peer("no_such_library_here") is None
    assert bench.peer("no_such_library_here") is None
    assert bench.checkout("theirs", "theirs") is None
    assert len(bench.notes) == 2
    assert "--src" in bench.notes[1]


def test_a_checkout_is_imported_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "their_module_of_this_test.py").write_text("ANSWER = 42\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert Bench(src=tmp_path).checkout("theirs", "their_module_of_this_test").ANSWER == 42


def _row(case: str, least: float, floor: float = 1.0) -> Row:
    return Row(case, least, least, least / floor, least / floor, least / floor, least / floor, None)


def _measured() -> Measured:
    cases = [
        Case("bare", lambda: None, "bare"),
        Case("ours", lambda: None, "ours", 1.05),
        Case("ours", lambda: None, "ours", kind="bf16"),
        Case("slow one", lambda: None),
        Case("fast one", lambda: None),
        Case("other", lambda: None, kind="bf16"),
    ]
    times = (1.0, 1.1, 0.5, 2.2, 1.0, 0.6)
    rows = [_row(case.title, least) for case, least in zip(cases, times, strict=True)]
    return Measured(Item("Some work", cases), cases, rows)


def test_the_summary_sets_cases_of_one_kind_against_each_other_and_tells_who_is_ahead():
    page = summary([_measured()])
    assert "| Some work: ours | 1.100 | 1.05 |  | 1.10 | fast one |" in page
    assert "* Some work: fast one takes 0.91 of our time" in page
    assert "other takes" not in page  # 0.6 against our 0.5 of its kind
    assert "slow one 2.00, fast one 0.91, other (bf16) 1.20" in ratios_to_peers([_measured()])


def test_the_summary_says_where_nobody_is_ahead():
    found = _measured()
    found.rows[4] = _row("fast one", 1.2)
    assert "No peer is ahead in any item." in summary([found])


def test_a_theme_is_put_between_the_marks_in_the_place_of_what_stood_there_of_it(tmp_path: Path):
    file = tmp_path / "PAGE.md"
    file.write_text(f"# Page\n\n{BEGIN}\n\nNot yet run.\n\n{END}\n\nafter\n")
    for theme, text in (("sde", "### Old\n"), ("ode", "### Other\n"), ("sde", "### New\n")):
        put_into(file, theme, text)
    inside = "<!-- theme: ode -->\n\n### Other\n\n<!-- theme: sde -->\n\n### New"
    assert file.read_text() == f"# Page\n\n{BEGIN}\n\n{inside}\n\n{END}\n\nafter\n"
    file.write_text("# Page\n")
    with pytest.raises(SystemExit, match="must have the lines"):
        put_into(file, "sde", "### New\n")


def test_the_page_of_the_repository_has_the_marks():
    page = (Path(__file__).parents[1] / "BENCHMARKS.md").read_text("utf-8")
    assert page.index(BEGIN) < page.index(END)


def test_unknown_themes_and_a_quick_page_are_refused(tmp_path: Path):
    with pytest.raises(SystemExit, match="One of: coupling"):
        run(only="no_such", report=lambda line: None)
    with pytest.raises(SystemExit, match="measures nothing"):
        run(quick=True, write=tmp_path / "PAGE.md", report=lambda line: None)


def test_a_burst_repeats_short_work_as_often_as_fits():
    calls = {"short": 0, "long": 0}

    def work(name: str, rows: int) -> None:
        calls[name] += 1
        torch.randn(rows, 100).sum()

    compare({"short": lambda: work("short", 1), "long": lambda: work("long", 40_000)}, rounds=1, burst=0.01)
    assert calls["short"] > 5 * calls["long"]
