import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data.equation_trees import read_system, shown_system
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.capabilities import NotAbleError
from interpolants.problems.dynamical_systems import dynamical_system
from interpolants.sciml.symbolic import SymbolicOperatorTransformer
from interpolants.sciml.symbolic.examples import ExampleBatches, Windows
from interpolants.sciml.symbolic.hints import hidden, hint_of, skeletons
from interpolants.sciml.symbolic.network import places
from interpolants.sciml.symbolic.operator_transformer import _reproduced
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies
from interpolants.sciml.symbolic.recovered_equations import symbol_error
from interpolants.sciml.symbolic.refinement import refine

OSCILLATORS = EquationFamilies(systems=("oscillator",), points=16, later=16)
TINY = {"equations_drawn": 12, "width": 16, "heads": 2, "steps": 8, "batch_size": 8, "longest": 30}
pytestmark = pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")


@pytest.fixture(scope="module")
def tiny():
    return SymbolicOperatorTransformer(**TINY).fit(OSCILLATORS, progress=False)


@pytest.fixture(scope="module")
def windows():
    return OSCILLATORS.draw(5, 1, seed=0, part="test").seen


def test_each_query_time_is_answered_by_itself(tiny, windows):
    times = torch.tensor([2.5, 3.0, 0.7, 5.9, 4.2])
    together = tiny.predict(windows, times=times)
    alone = torch.cat([tiny.predict(windows, times=t) for t in times.tolist()], 1)
    assert_close(together, alone, rtol=0, atol=1e-6)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert_close(tiny.predict(windows, times=times[order]), together[:, order], rtol=0, atol=1e-6)
    assert_close(together[..., 0], times.double().expand(5, 5))


def test_query_times_may_differ_by_window(tiny, windows):
    """Windows whose clocks start at 0 and at 100: each is answered as alone, at its own times."""
    later = windows[:2].clone()
    later[1, :, 0] += 100
    own = [torch.tensor([2.5, 5.0, 3.5]), torch.tensor([101.0, 104.0])]
    found = tiny.predict(later, times=own)
    for k in range(2):
        assert_close(found[k], tiny.predict(later[k], times=own[k]))
        assert torch.equal(found[k][:, 0], own[k].double())
    square = [[2.5, 3.0], [103.0, 102.5]]
    assert_close(tiny.predict(later, times=torch.tensor(square)), tiny.predict(later, times=square))
    assert tiny.predict(later, times=square)[..., 0].tolist() == square
    by_equation = tiny.predict(later, times=square, by="equation")
    assert by_equation[..., 0].tolist() == square
    assert_close(by_equation[1], tiny.predict(later[1], times=square[1], by="equation"))


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([[2.5]], r"one row for each of 2 windows, got 1 rows"),
        (torch.ones(2, 1, 1), "one row for each of 2 windows"),
        ([[2.5], [3.0], [3.5]], "got 3 rows"),
        ([[2.5], [103.0]], r"times must lie in \[0, 6\], got 103"),
    ],
)
def test_query_times_that_fit_no_window_are_refused(tiny, windows, times, said):
    with pytest.raises(InvalidInputError, match=said):
        tiny.predict(windows[:2], times=times)


def test_later_clocks_and_other_units_of_size_give_the_same_trajectory(tiny, windows):
    later = windows.clone()
    later[..., 0] += 100
    found = tiny.predict(later, steps=4)
    assert_close(found[..., 1:], tiny.predict(windows, steps=4)[..., 1:], rtol=1e-4, atol=1e-5)
    assert_close(found[0, :, 0], torch.tensor([103.0, 104.0, 105.0, 106.0], dtype=torch.float64))


def test_tables_arrays_and_lists_come_back_as_they_came(tiny, windows):
    import pandas

    table = pandas.DataFrame(windows[0].numpy()[:, [1, 0, 2]], columns=["place", "time", "speed"])
    found = tiny.predict(table, steps=3)
    assert list(found.columns) == ["time", "place", "speed"]
    expected = tiny.predict(windows, steps=3)
    assert_close(torch.tensor(found.to_numpy()), expected[0])
    assert isinstance(tiny.predict(windows.numpy(), steps=3), np.ndarray)
    ragged = tiny.predict([windows[0], windows[1][::2][:8]], steps=3)
    assert_close(ragged[0], expected[0])
    assert tiny.identify(windows[0]) == tiny.identify(windows)[:1]


def test_numbered_states_of_a_table_are_known_by_name(tiny, windows):
    import pandas

    table = pandas.DataFrame(windows[0].numpy(), columns=["t", "u1", "u2"])
    found, again = (tiny.predict(one, steps=3) for one in (table, table[["u2", "t", "u1"]]))
    pandas.testing.assert_frame_equal(found, again)
    for strange in (["a"] * len(table), pandas.date_range("2020", periods=len(table))):
        with pytest.raises(InvalidInputError, match="numeric columns, got column 't' of type"):
            tiny.predict(table.assign(t=strange))


def test_what_is_written_within_the_grammar_is_always_a_system_and_free_texts_may_be_none(tiny, windows):
    for text in tiny.identify(windows, refine=False):
        assert len(read_system(text)) == 2
    assert set(tiny.identify(windows, free=True)) <= {
        "",
        *map(shown_system, map(read_system, tiny.identify(windows))),
    }
    (found,) = tiny.equations(windows[0], hint="u2 | -a*u1")
    assert len(found) == 2
    assert {str(s) for one in found for s in one.free_symbols} <= {"u1", "u2"}


@pytest.mark.slow
def test_equations_are_searched_for_with_beams(tiny, windows):
    greedy, searched = (tiny.identify(windows, refine=False, beams=k) for k in (1, 8))
    assert greedy == tiny.identify(windows, refine=False)
    assert len(searched) == 5
    assert all(len(read_system(text)) == 2 for text in searched)
    # A row's text does not depend on which others are asked for.
    assert tiny.identify(windows[2], refine=False, beams=8) == searched[2:3]
    assert tiny.predict(windows, steps=3, by="equation", beams=2).shape == (5, 3, 3)
    assert len(tiny.equations(windows[0], beams=2)[0]) == 2


def test_a_batch_asks_for_states_at_the_times_at_which_they_were():
    """States that are the time itself."""
    times = 4 * torch.rand(3, 8, generator=torch.Generator().manual_seed(0)).double().sort(1).values
    values = times[..., None]
    data = {"times": times, "values": values, "window": values[:, :5], "dims": torch.ones(3).long()}
    batch = ExampleBatches(data, end=4.0, patch=2, size=6, queries=4, blind=0.0)(
        0, torch.Generator().manual_seed(1), 0, 1
    )
    states = batch["target"][..., 0] * batch["windows"].scale[:, None]
    assert_close(states, 4 * batch["at"].double(), atol=1e-5, rtol=1e-5)


def test_places_are_told_by_the_angles_of_vaswani():
    found = places(7, torch.zeros(1, 6), first=2).double()
    for p in range(7):
        for k in range(3):
            angle = (p + 2) / 10_000 ** (2 * k / 6)
            assert found[p, 2 * k : 2 * k + 2].tolist() == pytest.approx(
                [np.sin(angle), np.cos(angle)], abs=1e-6
            )


@pytest.mark.slow
def test_constants_are_refined_to_those_that_made_the_window():
    for name, off in (("lorenz", 1.1), ("thomas", 0.9)):
        system = dynamical_system(name)
        start = system.starts(1, generator=torch.Generator().manual_seed(3))
        times = torch.linspace(0, 2, 65, dtype=torch.float64)
        window = torch.cat([times[:, None], system.trajectories(start, times, finer=4)[0]], 1)
        wrong = system.equations(**{k: v * off for k, v in system.parameters.items()})
        (found,) = refine([wrong], [window])
        assert found.misfit < 1e-3
        assert symbol_error(found.system, system.equations()) < 0.4 * symbol_error(wrong, system.equations())


def test_hints_hide_numbers_and_change_one_term():
    lorenz, g = dynamical_system("lorenz").equations(), torch.Generator().manual_seed(0)
    assert shown_system(skeletons(lorenz)) == "c*(u2 - u1) | u1*(c - u3) - u2 | u1*u2 - c*u3"
    assert hidden(read_system("a*(u2 - 3.5*u1) | u1"), numbers=False)[0].numbers == [3.5]
    count = sum(len(tree.terms()) for tree in lorenz)
    for kind, change in (("deleted", -1), ("added", 1), ("skeleton", 0)):
        assert sum(len(tree.terms()) for tree in hint_of(kind, lorenz, g)) == count + change
    assert hint_of("known", lorenz, g) == lorenz


def test_a_hint_is_read(tiny, windows):
    plain, told = tiny.predict(windows), tiny.predict(windows, "u2 | -a*u1 - b*u2")
    assert not torch.equal(plain, told)
    assert torch.equal(told, tiny.predict(windows, ["u2 | -a*u1 - b*u2"] * 5))


def test_a_network_of_values_alone_says_what_it_cannot_do(windows):
    values = SymbolicOperatorTransformer(**TINY, symbols=False).fit(OSCILLATORS, progress=False)
    assert values.predict(windows).shape == (5, 128, 3)
    with pytest.raises(NotAbleError, match="network of values alone writes no equations"):
        values.identify(windows)
    with pytest.raises(InvalidInputError, match="takes no hint"):
        values.predict(windows, "u2 | u1")
    with pytest.raises(InvalidInputError, match="by='equation' needs"):
        values.predict(windows, by="equation")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.flip(0), "times of x must be strictly increasing, got .* row 2"),
        (lambda w: torch.cat([w, w[:, :1]], 1), "at most 2 states"),
        (lambda w: w.masked_fill(w == w[3, 1], torch.nan), "finite"),
        (lambda w: w * 1.01, "last between half and all"),
        (lambda w: w[:4], "last between half and all"),
        (lambda w: w[:1], "at least two times"),
        (lambda w: w[:, :1], "must contain times and states"),
        (lambda w: w[:, 0], "must contain times and states"),
    ],
)  # fmt: skip
def test_bad_windows_are_refused(tiny, windows, change, said):
    with pytest.raises(InvalidInputError, match=said):
        tiny.predict(change(windows[0]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"times": [7.0]}, r"times must lie in \[0, 6\]"),
        ({"times": [-0.1]}, r"times must lie in \[0, 6\]"),
        ({"end": 1.0}, "end must"),
        ({"end": 9.0}, "trained up to 6"),
        ({"steps": 0}, "steps must"),
        ({"by": "magic"}, "by must be one of"),
        ({"hint": "u1"}, "must have 2 equations"),
        ({"hint": "u2 | exp(u1)"}, "every operator must be one of"),
        ({"hint": "v | -k*x"}, "must name the states u1 ... u2, got v, k, x"),
    ],
)
def test_bad_questions_are_refused(tiny, windows, given, said):
    with pytest.raises(InvalidInputError, match=said):
        tiny.predict(windows[0], **given)


def test_heads_must_part_the_width():
    with pytest.raises(InvalidInputError, match="width must be an even multiple of heads"):
        SymbolicOperatorTransformer(width=30)


def test_other_problems_are_refused():
    with pytest.raises(InvalidInputError, match="families of equations, got str"):
        SymbolicOperatorTransformer().fit("lorenz")


@pytest.mark.slow
def test_oscillators_are_learnt_and_their_equations_found():
    """Against the closed form's own trajectories, in seconds; an untrained network fails both."""
    families = EquationFamilies(systems=("oscillator",), points=32, later=32)
    drawn = families.draw(40, 1, seed=0, part="test")

    def fitted(steps):
        model = SymbolicOperatorTransformer(
            equations_drawn=600, steps=steps, width=32, heads=2, patch=8, longest=40, lr=4e-3, warmup=20
        )
        return model.fit(families, progress=False)

    def errors(model):
        found = model.predict(drawn.seen, steps=32)[..., 1:]
        off = (found - drawn.labels).flatten(1).norm(dim=1) / drawn.labels.flatten(1).norm(dim=1)
        texts = model.identify(drawn.seen)
        equations = [symbol_error(read_system(a), drawn.trees[k]) for k, a in enumerate(texts)]
        return float(off.mean()), float(np.median(equations))

    model = fitted(400)
    untrained, trained = errors(fitted(1)), errors(model)
    assert trained[0] < 0.5 < untrained[0]
    assert trained[1] < 0.05 < untrained[1]
    times = torch.linspace(0, 2, 32, dtype=torch.float64)
    strange = torch.stack([times, 9 * torch.sin(40 * times), torch.sign(torch.sin(31 * times))], 1)
    with pytest.warns(OutsideWarning, match=r"unlike those of the training \(oscillator\)"):
        model.predict(strange)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(drawn.seen)


def test_a_window_in_other_units_of_time_is_told_of_before_the_times_of_the_answer(tiny, windows):
    slow = torch.cat([1000 * windows[..., :1], windows[..., 1:]], 2)
    with pytest.raises(InvalidInputError, match="a window must last between half and all of the training's"):
        tiny.predict(slow)


def test_an_error_of_all_that_there_is_counts_one():
    times, values = torch.linspace(0, 1, 5).expand(2, 5), torch.randn(2, 5, 3)
    seen = Windows.of(times, values, torch.tensor([2, 3]), end=1.0, patch=4)

    class Silent:
        def at(self, times, tokens):
            return torch.full((*times.shape, 3), 0.0)

    assert_close(_reproduced(Silent(), seen, None), torch.ones(2))
