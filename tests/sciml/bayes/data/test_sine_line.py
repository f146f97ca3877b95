"""Simulated tasks that are sines or lines."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.bayes.data.sine_line import load_sine_line


def test_every_task_is_a_sine_or_a_line():
    data = load_sine_line("all", tasks=200, rows=12)
    table, found = data.x.reshape(200, 12, 3), {"line": 0, "sine": 0}
    for x, _, truth in (t.unbind(1) for t in table):
        line = torch.stack([x, torch.ones_like(x)], 1)
        wave = torch.stack([x.sin(), x.cos()], 1)
        errors = [
            float((design @ torch.linalg.lstsq(design, truth[:, None]).solution - truth[:, None]).abs().max())
            for design in (line, wave)
        ]
        assert min(errors) < 1e-9
        found["line" if errors[0] < errors[1] else "sine"] += 1
    assert abs(found["sine"] - 100) < 4 * 50**0.5


def test_noise_has_its_spread_and_parts_have_no_task_in_common():
    data = load_sine_line("all", tasks=500, noise=0.3)
    assert_close(float((data.x[:, 1] - data.x[:, 2]).std()), 0.3, rtol=0.03, atol=0)
    train, test = (set(load_sine_line(part).labels.tolist()) for part in ("train", "test"))
    assert not train & test
    assert len(train) == 4 * len(test) == 800


def test_too_few_tasks_are_refused():
    with pytest.raises(InvalidInputError, match="tasks must be a whole number >= 5"):
        load_sine_line(tasks=4)
