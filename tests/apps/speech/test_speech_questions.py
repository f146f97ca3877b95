"""The question about restored speech on methods whose numbers are known."""

from typing import Any

import pytest
import torch

from interpolants.apps.speech import speech_questions
from interpolants.apps.speech.recordings import Heard
from interpolants.apps.speech.speech_questions import SpeechQuality
from interpolants.apps.speech.synthetic_speech import harmonic_signals
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import Measured, ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task

SIGNALS = harmonic_signals(5, seconds=1.0)
ROLE = Role(name="clean", kind="recordings", axis="recording")
WHITE = {"kind": "additive_noise", "snr": 5.0, "kinds": ["white"]}


class Knowing(Method):
    """Takes a share of the noise away from recordings that it knows."""

    share: float = 1.0

    def roles(self):
        return (ROLE,)

    def learn(self, data, run):
        return {"clean": [one.samples for one in SIGNALS]}

    @capability(reads={"observed": Role(name="observed", kind="recordings")}, like="observed")
    def restore(self, observed: Any) -> Heard:
        """Less noise."""
        return Heard([one.with_samples(self._less(one.samples)) for one in observed])

    def _less(self, y):
        clean = min(self.state["clean"], key=lambda x: float((x - y).norm()))
        return y - self.share * (y - clean)


def asked(method, **settings):
    task = Task.of((ROLE,), {"clean": SIGNALS}, Split(test=2))
    return ask(SpeechQuality(degradation=WHITE, **settings), task.fit(method), task)


def test_nothing_done_gains_nothing_and_a_tenth_of_the_noise_gains_twenty_decibels():
    idle = asked(Knowing(share=0.0), listeners=False)
    assert idle["before"].value == pytest.approx(5.0, abs=0.2)
    assert idle["gain"].value == pytest.approx(0.0, abs=1e-4)
    better = asked(Knowing(share=0.9), listeners=False)
    assert better["gain"].value == pytest.approx(20.0, abs=0.2)
    assert better["si_sir"].value == pytest.approx(better["si_sdr"].value, abs=0.2)
    assert better["si_sar"].value > 60


def test_listeners_and_pictures():
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    found = asked(Knowing(share=0.9))
    assert found["estoi"].value > found["estoi_before"].value
    assert found["pesq"].value > found["pesq_before"].value
    spectrograms, sounds = found.figures
    assert [panel.title for panel in spectrograms.panels] == ["clean", "degraded", "restored"]
    assert all(panel.series[0].mark == "audio" for panel in sounds.panels)
    assert len(sounds.panels[0].series[0].arrays["samples"]) == 8000


def test_a_tone_stands_at_its_frequency_in_the_picture():
    """In kHz, from the middle of the first row, 0, to that of the last, half the rate."""
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)
    own = Measured({}, dict.fromkeys(("clean", "degraded", "restored"), tone))
    task = Task.of((ROLE,), {"clean": SIGNALS}, Split(test=2))
    heat = SpeechQuality(degradation=WHITE).figures(own, {}, task)[0].panels[0].series[0].arrays
    left, right, low, high = heat["extent"]
    assert len(heat["values"]) == 1 + 0.016 * 8000  # windows of 32 ms
    assert (left, right) == (0.0, 1.0)
    row = int(heat["values"].mean(1).argmax())
    assert low + (high - low) * row / (len(heat["values"]) - 1) == pytest.approx(1.0, abs=0.03)


def test_what_makes_it_worse_is_told():
    worse = asked(Knowing(share=-1.0), listeners=False)
    assert "worse than degraded ones" in worse.findings[0].text


def test_degradations_belong_to_seed_and_recording():
    task = Task.of((ROLE,), {"clean": SIGNALS}, Split(test=2))
    pairs = [SpeechQuality(degradation=WHITE, seed=seed).pairs(task) for seed in (1, 1, 2)]
    assert torch.equal(pairs[0][0][1], pairs[1][0][1])
    assert not torch.equal(pairs[0][0][1], pairs[2][0][1])


def test_without_pesq_the_rest_is_measured_and_it_is_said(monkeypatch):
    pytest.importorskip("pystoi")
    monkeypatch.setattr(speech_questions, "_has_pesq", lambda: False)
    found = asked(Knowing(share=0.9))
    assert {"si_sdr", "estoi"} <= {score.name for score in found.scores}
    assert "pesq" not in {score.name for score in found.scores}
    assert "PESQ was not measured" in found.findings[-1].text
