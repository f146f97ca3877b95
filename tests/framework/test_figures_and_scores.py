import math

import numpy as np
import pytest
import torch

from interpolants.foundations import trees
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answered import Answered, measured
from interpolants.framework.claims import Claim, Verdict
from interpolants.framework.figures import MARKS, Axis, Figure, Panel, Series
from interpolants.framework.scores import Finding, Score, mean_and_error, paired_gap

GOOD = {
    "line": {"x": [0, 1], "y": [0, 1], "error": [0.1, 0.1]},
    "band": {"x": [0, 1], "low": [0, 1], "high": [1, 2]},
    "points": {"x": [0, 1], "y": [0, 1]},
    "rule": {"y": 0.5},
    "heat": {"values": [[0, 1, 2], [1, 2, 3]], "extent": [0, 1, 0, 1]},
    "histogram": {"edges": [0, 1, 2], "counts": [3, 4]},
    "images": {"images": np.zeros((2, 3, 4, 5), dtype=np.uint8)},
    "map": {"values": np.zeros((2, 3)), "lon": [0, 1, 2], "lat": [0, 1]},
    "mesh": {"points": np.zeros((4, 2)), "faces": np.zeros((2, 3), dtype=int), "values": np.zeros(4)},
    "spectrogram": {"power": np.zeros((2, 3)), "frequency": [0, 1], "time": [0, 1, 2]},
    "bars": {"height": [1, 2]},
    "phase": {"x": [0], "y": [0], "u": [1], "v": [1]},
    "audio": {"samples": [0, 1, 0], "rate": 8000},
    "table": {"values": [[1, 2, 3]]},
    "contour": {"values": [[0, 1, 2], [1, 2, 3]], "levels": [0.5, 1.5], "extent": [0, 1, 0, 1]},
    "text": {"x": 0.5, "y": 0.5},
}


@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_takes_its_arrays_and_refuses_others(mark):
    Series(mark=mark, arrays=GOOD[mark])
    needed, _ = MARKS[mark]
    for name in needed:
        without = {key: value for key, value in GOOD[mark].items() if key != name}
        with pytest.raises(InvalidInputError, match=f"{mark} must have"):
            Series(mark=mark, arrays=without)
        with pytest.raises(InvalidInputError, match=f"{name} of {mark} must have shape"):
            Series(
                mark=mark,
                arrays={**GOOD[mark], name: np.zeros((2, 2, 2, 2, 2, 2))[:1, 0] if mark != "images" else [1]},
            )
    with pytest.raises(InvalidInputError, match="must be among those that it accepts"):
        Series(mark=mark, arrays={**GOOD[mark], "colour": [1, 2]})


def test_sizes_must_agree_within_a_series():
    with pytest.raises(InvalidInputError, match=r"y of line must have shape \(n\) with {'n': 2}, got \(3,\)"):
        Series(mark="line", arrays={"x": [0, 1], "y": [0, 1, 2]})
    with pytest.raises(InvalidInputError, match="one edge more"):
        Series(mark="histogram", arrays={"edges": [0, 1], "counts": [1, 2]})
    with pytest.raises(InvalidInputError, match="Did you mean 'line'"):
        Series(mark="lines", arrays={})
    with pytest.raises(InvalidInputError, match="scale must be"):
        Axis(scale="root")
    with pytest.raises(InvalidInputError, match="one entry per tick"):
        Axis(ticks=(0, 1), names=("a",))
    with pytest.raises(InvalidInputError, match="must have panels"):
        Figure(name="a", panels=())
    with pytest.raises(InvalidInputError, match="name must be"):
        Figure(name="a/b", panels=(Panel(series=()),))


def test_arrays_are_copies_that_keep_their_type():
    x = np.arange(3, dtype=np.float32)
    made = Series(mark="line", arrays={"x": x, "y": x})
    x[0] = 9
    assert made.arrays["x"].tolist() == [0, 1, 2]
    assert made.arrays["x"].dtype == torch.float32
    assert Axis(label="time", unit="s").text == "time (s)"
    assert Axis(label="share").text == "share"


def test_answers_come_back_from_the_disk_as_they_were(tmp_path):
    axis = Axis(label="t", unit="s", scale="log", ticks=(1.0, 2.0), names=("one", "two"))
    panel = Panel(series=(Series(mark="line", arrays=GOOD["line"], hue="muted"),), title="a", x=axis)
    claim = Claim(says="a.b < 2 floor", role="floor", seeds=2, budget="study", expected="fails")
    score = Score(
        name="b", value=-math.inf, error=0.5, floor=math.inf, rivals={"r": 1.0}, gaps={"r": math.nan}, n=3
    )
    before = Answered(
        scores=(
            score,
            Score(name="c", value=1.5),
            Score(name="d", value=math.nan, floor="unknown: it is real"),
        ),
        figures=(Figure(name="f", panels=(panel,), columns=1),),
        arrays={"x": torch.ones(2, dtype=torch.bool)},
        texts={"head": ("one", "two")},
        verdicts=(Verdict(claim, "not asked", math.nan, math.nan, 1),),
        timings={"fit": 2.0},
        findings=(Finding("It broke."), Finding("It creaks.", grave=False)),
    )
    trees.write(tmp_path / "answer", before)
    after = trees.read(tmp_path / "answer")
    document = trees.pack(before, {})
    assert document["fields"]["scores"]["items"]["c"] == 1.5
    assert "timings" not in document["fields"]
    assert after.timings == {}
    for name in ("texts", "verdicts", "findings"):
        assert repr(getattr(after, name)) == repr(getattr(before, name))
    assert repr(after.scores) == repr(before.scores)
    assert repr(after.figures) == repr(before.figures)
    assert torch.equal(after.arrays["x"], before.arrays["x"])


def test_scores_and_answers_refuse_what_makes_no_sense():
    with pytest.raises(InvalidInputError, match="better must be"):
        Score(name="a", value=1.0, better="more")
    with pytest.raises(InvalidInputError, match="unknown: why"):
        Score(name="a", value=1.0, floor="nobody knows")
    with pytest.raises(InvalidInputError, match="gaps must be of rivals"):
        Score(name="a", value=1.0, gaps={"b": 1.0})
    with pytest.raises(InvalidInputError, match="names of scores must differ"):
        Answered(scores=(Score(name="a", value=1.0), Score(name="a", value=2.0)))
    answered = measured({"one": 1, "s": 2.5}, timed=("s",))
    assert answered.timings == {"s": 2.5}
    with pytest.raises(InvalidInputError, match="Did you mean 'one'"):
        answered["ones"]


def test_the_error_is_that_of_the_mean():
    mean, error = mean_and_error([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert math.isnan(mean_and_error([1.0])[1])
    assert all(map(math.isnan, mean_and_error([])))
    assert mean_and_error([1.0, math.inf])[0] == math.inf
    assert paired_gap([3.0, 1.0], [1.0, 2.0]) == pytest.approx((0.5, 1.5, 1))
