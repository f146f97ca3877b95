"""The first hour of a newcomer, carried out; its times are a matter for ``python -m benchmarks first_hour``."""

import pytest
from benchmarks.first_hour import first_hour, table

SHORT = (
    "train.steps=60",
    "train.batch_size=64",
    "evaluate.n=200",
    "evaluate.n_steps=10",
    "evaluate.log_prob=20",
    "evaluate.leg_steps=20",
    "evaluate.eps=[0.0, 0.5]",
    "evaluate.check=false",
)


@pytest.mark.slow
def test_every_step_of_the_first_hour_gives_what_it_promises(tmp_path):
    done = list(first_hour(tmp_path, sets=SHORT, steps=30, samples=1500))
    assert [step.commands for step in done] == [1, 1, 2, 3, 2, 1, 0, 1] or done[2].commands == 1
    assert table(done).count("\n") == len(done) + 3
