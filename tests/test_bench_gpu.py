"""``make gpu`` without a GPU: one line; and all that it does with one, in its quick form on the CPU."""

import re

import pytest
import torch
from benchmarks import gpu
from benchmarks.peers.page import BEGIN, END

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
CPU = gpu.OnDevice(torch.device("cpu"), quick=True)


@without_gpu
def test_without_a_gpu_it_says_so_in_one_line_and_writes_nothing(tmp_path):
    said = []
    gpu.run(write=tmp_path / "gpu.md", report=said.append)
    assert said == [gpu.NO_GPU]
    assert not (tmp_path / "gpu.md").exists()


def test_an_unknown_part_is_refused():
    with pytest.raises(SystemExit, match="--only must name tests, networks"):
        gpu.run(device="cpu", only="tests,nets", report=print)


def test_reads_of_a_value_are_counted():
    x = torch.arange(5.0)
    assert gpu.host_waits(lambda: [x.sum().item() for _ in range(3)] + [bool(x[0] == 0)])[0] == 4
    assert gpu.host_waits(lambda: x + 1)[0] == 0


def test_a_sampler_reads_no_value_per_step():
    net = torch.nn.Linear(2, 2)
    work = lambda n: gpu._steps_of_sampler(_WithTime(net), torch.zeros(4, 2), n)  # noqa: E731
    assert gpu.host_waits(lambda: work(12))[0] == gpu.host_waits(lambda: work(4))[0]


class _WithTime(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, t, cond=None):
        return self.inner(x)


@pytest.mark.slow
def test_its_quick_form_writes_a_page(tmp_path):
    page, said = tmp_path / "gpu.md", []
    gpu.run(device="cpu", quick=True, only="networks,transport,waits", write=page, report=said.append)
    text = page.read_text()
    assert text.startswith("# On a GPU")
    assert text.index(BEGIN) < text.index(END)
    rows = re.findall(r"^\| (U-Net|transformer) \| (float32|bf16) \|.*\| (\S+) \| 0 \|$", text, re.MULTILINE)
    assert [row[:2] for row in rows] == [
        (a, b) for a in ("U-Net", "transformer") for b in ("float32", "bf16")
    ]
    for _, way, error in rows:
        assert float(error) == 0 if way == "float32" else 0 < float(error) < 0.1
    pairs = re.findall(r"^\| (?:exact|Sinkhorn) \|.*\| (\S+) \|$", text, re.MULTILINE)
    assert [float(difference) for difference in pairs] == [0.0, 0.0]
