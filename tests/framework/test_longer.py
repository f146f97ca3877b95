"""Training longer: to the bits of one long training where the schedule allows, and from a new schedule where not."""

import pickle

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.methods.parts import validation
from interpolants.training.schedules import learning_rate
from interpolants.training.settings import TrainSettings

SMALL = {
    "net": {"kind": "mlp", "width": 8, "depth": 1},
    "batch_size": 16,
    "log_every": 5,
    "times": "importance",
}
QUIET = {"progress": False}


def rows(shift=0.0):
    return shift + torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


DATA = (rows(), rows(2.0))


@pytest.mark.parametrize(
    "settings", [{"schedule": "constant"}, {"schedule": "step", "every": 7, "warmup": 3}]
)
def test_some_steps_and_more_are_the_bits_of_all_in_one(settings):
    settings = {**SMALL, **settings, "held_out": 0}  # the last weights, and not the best ones
    one = Bridge(steps=20, **settings).fit(*DATA, **QUIET)
    two = Bridge(steps=12, **settings).fit(*DATA, **QUIET).fit(*DATA, warm_start=True, steps=8, **QUIET)
    assert stored.fingerprint(two.state) == stored.fingerprint(one.state)
    assert two.history[-1] == one.history[-1]
    three = Bridge(steps=12, **settings).fit(*DATA, **QUIET)
    for _ in range(2):
        three.fit(*DATA, warm_start=True, steps=4, **QUIET)
    assert stored.fingerprint(three.state) == stored.fingerprint(one.state)
    assert stored.fingerprint(two.state) != stored.fingerprint(two.clone().fit(*DATA, **QUIET).state)


def test_a_cosine_schedule_begins_anew_and_can_be_asked_for_at_once():
    two = Bridge(steps=12, **SMALL).fit(*DATA, **QUIET).fit(*DATA, warm_start=True, steps=8, **QUIET)
    one = Bridge(steps=20, restarts=(12,), **SMALL).fit(*DATA, **QUIET)
    assert stored.fingerprint(two.state) == stored.fingerprint(one.state)
    assert [row["step"] for row in two.history] == [5, 10, 12, 15, 20]
    three = two.fit(*DATA, warm_start=True, steps=4, **QUIET)
    one = Bridge(steps=24, restarts=(12, 20), **SMALL).fit(*DATA, **QUIET)
    assert stored.fingerprint(three.state) == stored.fingerprint(one.state)


def test_each_leg_of_the_cosine_schedule_is_that_of_a_run_by_itself():
    long = TrainSettings(steps=30, restarts=(10, 16), schedule="cosine", warmup=2)
    for begin, end in ((0, 10), (10, 16), (16, 30)):
        alone = TrainSettings(steps=end - begin, schedule="cosine", warmup=2)
        for k in range(1, end - begin + 1):
            assert learning_rate(long, begin + k) == learning_rate(alone, k)


def test_a_folder_goes_on_too(tmp_path):
    made = {**SMALL, "checkpoint_every": 5}
    Bridge(steps=12, **made).fit(*DATA, out=tmp_path / "a", **QUIET)
    two = Bridge(steps=20, restarts=(12,), **made).fit(*DATA, out=tmp_path / "a", resume=True, **QUIET)
    one = Bridge(steps=20, restarts=(12,), **made).fit(*DATA, **QUIET)
    assert stored.fingerprint(two.state) == stored.fingerprint(one.state)
    with pytest.raises(InvalidInputError, match="another steps"):
        Bridge(steps=30, **made).fit(*DATA, out=tmp_path / "a", resume=True, **QUIET)


def test_stages_that_follow_are_not_made_from_a_longer_first_one(tmp_path):
    made = {**SMALL, "schedule": "constant", "leg": {}}
    Bridge(steps=12, **made).fit(*DATA, out=tmp_path / "a", **QUIET)
    with pytest.raises(InvalidInputError, match="'leg' follows 'match'"):
        Bridge(steps=20, **made).fit(*DATA, out=tmp_path / "a", resume=True, **QUIET)


def test_what_cannot_go_on_is_refused_before_anything_changes():
    one = Bridge(steps=5, **SMALL)
    with pytest.raises(InvalidInputError, match="warm_start needs a bridge of one training"):
        one.fit(*DATA, warm_start=True, **QUIET)
    one.fit(*DATA, **QUIET)
    before = stored.fingerprint(one)
    for other in ((rows(), rows(3.0)), (rows()[:60], rows(2.0))):
        with pytest.raises(InvalidInputError, match="warm_start must continue with the same data"):
            one.fit(*other, warm_start=True, **QUIET)
    with pytest.raises(InvalidInputError, match="not fitted in this process"):
        pickle.loads(pickle.dumps(one)).fit(*DATA, warm_start=True, **QUIET)
    with pytest.raises(InvalidInputError, match="a method of several stages"):
        Bridge(steps=5, leg={}, **SMALL).fit(*DATA, **QUIET).fit(*DATA, warm_start=True, **QUIET)
    assert stored.fingerprint(one) == before


def test_with_held_out_rows_patience_counts_anew(monkeypatch):
    monkeypatch.setattr(validation, "_LEAST", 20)  # steps without a better validation, otherwise 500
    made = {
        **SMALL,
        "held_out": 0.2,
        "schedule": "constant",
        "lr": 10.0,
        "validate_every": 5,
        "warmup": 0,
    }
    one = Bridge(steps=100, **made).fit(*DATA, **QUIET)
    stopped = one.about["validation"]["match"]["rows"][-1]["step"]
    assert stopped < 100
    one.fit(*DATA, warm_start=True, steps=6, **QUIET)
    assert one.about["validation"]["match"]["rows"][-1]["step"] > stopped


def test_arrays_of_the_same_numbers_are_the_same_data():
    one = Bridge(steps=5, **SMALL).fit(*DATA, **QUIET)
    assert len(one.fit(*(np.asarray(x) for x in DATA), warm_start=True, **QUIET).history) > 1
