import math

import pytest
import torch
from studies.common import run
from studies.masked_text import experiment
from studies.masked_text.experiment import STUDY, gumbel_cap, truncated_gumbel_distribution

from interpolants.data import available

needs_text = pytest.mark.skipif(not available()["kjv"], reason="apt-get install bible-kjv-text")


def test_the_distribution_of_a_token_is_that_of_step_after_step():
    mu = 1 / torch.arange(1, 30, dtype=torch.float64)
    mu /= mu.sum()
    for steps, bits in ((1, 8), (7, 8), (300, 12)):
        found, masked = torch.zeros_like(mu), 1.0
        for k in range(steps):
            delta = 1 / (steps - k)
            distribution = truncated_gumbel_distribution(
                torch.cat([delta * mu, mu.new_tensor([1 - delta])]), gumbel_cap(bits)
            )
            found += masked * distribution[:-1]
            masked *= float(distribution[-1])
        torch.testing.assert_close(experiment.distribution_of_token(mu, steps, gumbel_cap(bits)), found)
        assert float(found.sum()) == pytest.approx(1)


def test_blocks_of_steps_are_all_steps_and_change_little():
    for steps in (1, 2, 500, 5000):
        found = experiment.blocks(steps)
        assert [begin for begin, _ in found] == [0, *(end for _, end in found[:-1])]
        assert found[-1] == (steps - 1, steps)
        assert all((end - begin) <= max(1, (steps - begin) // 200) for begin, end in found)
    mu = torch.full((50,), 0.02, dtype=torch.float64)
    assert float(experiment.distribution_of_token(mu, 5000, gumbel_cap(24)).sum()) == pytest.approx(
        1, abs=1e-12
    )


@needs_text
def test_the_source_has_the_triples_of_the_text_and_its_words_are_words():
    source = experiment.bible_source(8)
    numbers = {c: k for k, c in enumerate(" abcdefghijklmnopqrstuvwxyz")}
    assert float(source.transition[numbers["t"], numbers["h"], numbers["e"]]) > 0.5
    assert 2 < source.entropy() / 8 / math.log(2) < 3.3
    assert len(experiment.word_distribution()) == len(experiment.bible_words()) > 12_000
    text = torch.tensor([[numbers[c] for c in "x the lord qqq x"]])
    assert experiment.share_of_words(text) == pytest.approx(2 / 3)


@needs_text
@pytest.mark.slow  # trains a transformer for 20 steps and draws from it in many ways, about 25 s
def test_the_quick_study_runs_to_its_tables_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"masked_text.png"}
    assert results.values("source: first hitting", "calls") == [24.0]
    assert results.values("model: bound", "bits")[0] < 5
    assert "```text" in (tmp_path / "table.md").read_text()
