"""An experiment of a few cells for the tests; also run as a program that can be killed."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from interpolants.framework.answered import Answered, measured
from interpolants.framework.experiment import conduct
from interpolants.framework.figures import Figure, Panel, Series
from interpolants.framework.scores import Score


@dataclass(frozen=True)
class Toy:
    """Cells whose numbers are known; each takes a while and writes its name into a list of what was run."""

    ran: str
    count: int = 4
    settings: dict = field(default_factory=lambda: {"scale": 2.0})
    pause: float = 0.0
    threads: bool = False
    fail_at: int = -1
    name: str = "toy"

    def cells(self):
        return {f"cell-{k}": {"k": k, "seed": k % 2} for k in range(self.count)}

    def run(self, cell, folder):
        if cell["k"] == self.fail_at:
            raise KeyboardInterrupt
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").write_text("of a fit inside")
        time.sleep(self.pause)
        noise = torch.randn(50, 50, generator=torch.Generator().manual_seed(cell["k"]))
        with Path(self.ran).open("a") as file:
            file.write(f"{cell['k']}\n")
        values = {"n": self.settings["scale"] * cell["k"], "far": float("inf"), "clock": time.perf_counter()}
        values |= {"threads": torch.get_num_threads()} if self.threads else {}
        return measured(values, {"x": (noise @ noise).half(), "none": torch.zeros(0, 2)}, timed=("clock",))

    def gather(self, answers):
        total = sum(answer["n"].value for answer in answers.values())
        curve = Series(mark="line", arrays={"x": [0.0, 1.0], "y": [0.0, total]}, name="sum")
        score = Score(name="total", value=total, floor=0.0, rivals={"none": float("nan")})
        return Answered(scores=(score,), figures=(Figure(name="sums", panels=(Panel(series=(curve,)),)),))


if __name__ == "__main__":
    conduct(Toy(sys.argv[2], pause=0.15), sys.argv[1], workers=int(sys.argv[3]))
