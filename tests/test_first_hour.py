"""The first hour of a newcomer, carried out; its times are a matter for ``python -m benchmarks first_hour``."""

import pytest
from benchmarks.first_hour import first_hour, table

SHORT = (
    "method.steps=60",
    "method.batch_size=64",
    'ask=[{question="noise_levels", eps=[0.0, 0.5], n=200, options={n_steps=10}, rivals=["gaussian_fit"]}]',
)


@pytest.mark.slow
def test_every_step_of_the_first_hour_gives_what_it_promises(tmp_path):
    done = list(first_hour(tmp_path, sets=SHORT, steps=30, samples=1500))
    assert [step.commands for step in done] == [1, 0, 1, 2, 3, 2, 1, 0, 1] or done[3].commands == 1
    assert table(done).count("\n") == len(done) + 3
