"""What a simulator learns from and answers with: latents and frames, words of prompts, solutions on meshes.

Letters: N simulations, M points of a mesh, T times, C channels, Z latent channels, L words, F frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.data.prompts import PromptVocabulary, comma_numbers
from interpolants.apps.simulation.mesh_autoencoder import MeshAutoencoder
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.apps.simulation.prompt_reader import PromptReader
from interpolants.apps.simulation.simulation_training import SimulationUnits
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.tell import OutsideWarning, SettingWarning, tell
from interpolants.framework.frames import Standard

# Share of nodes without a point from which on a mesh is too sparse to be read.
_SPARSE = 0.5
_TOGETHER = 8  # simulations that are encoded at once


@dataclass(frozen=True)
class Answering:
    """The parts of an answer, from what was learnt.

    Attributes:
        state: State of the fitted simulator.
        longest: L.
        radius: Distance within which points and nodes see each other, for warnings.
    """

    state: Mapping[str, Any]
    longest: int
    radius: float

    def words(self, prompts: Sequence[str | None]) -> Tensor:
        """Words of prompts, ``(n, L, E)``, each row by itself; NaN where there is none."""
        state = self.state
        for text in prompts:
            self._warn_of_unknown(text)
        rows = {}
        with torch.no_grad():
            for text in dict.fromkeys(prompts):
                rows[text] = state["reader"](*state["vocabulary"].encode([text], self.longest, who()))[0]
        return torch.stack([rows[text] for text in prompts])

    def _warn_of_unknown(self, text: str | None) -> None:
        vocabulary: PromptVocabulary = self.state["vocabulary"]
        if text is None:
            return
        if unknown := vocabulary.unknown(text):
            words = ", ".join(map(repr, unknown[:4]))
            told = f"{who()}: no training prompt had {words}; the answer may not mean it."
            tell(OutsideWarning, told)
        if commas := comma_numbers(text):
            told = (
                f"{who()}: {commas[0]!r} is read as two numbers; write a decimal point, or a space after it."
            )
            tell(OutsideWarning, told)
        if outside := vocabulary.outside(text):
            span = f"{vocabulary.low:g} to {vocabulary.high:g}"
            told = f"{who()}: {outside[0]:g} is outside of the numbers of the training, {span}."
            tell(OutsideWarning, told)

    def shown(self, one: MeshField, frames: int | None) -> Tensor:
        """First frames on the nodes, ``(F, K, *nodes)``, NaN for those that are not given."""
        first = self.state["first"]
        most = min(len(first), len(one.times)) if frames is None else frames
        whole(who(), "frames", most, at_least=1, at_most=min(len(first), len(one.times)))
        if not _same_times(one.times[:most], first[:most], self.state["times"]):
            rule = f"first frames must be at the times of the training, {first[:most].tolist()}"
            raise invalid(rule, one.times[:most].tolist(), "Count times from the start of the simulation.")
        code: MeshAutoencoder = self.state["code"]
        with torch.no_grad():
            found = seen_frames(code, self.state["units"], one, most)
        warn_if_sparse(one, self.state["units"], code.grid[1], self.radius, "the frame is hardly seen")
        look: Standard = self.state["look"]
        shift, scale = (torch.as_tensor(part)[:most] for part in (look.shift, look.scale))
        found = Standard(shift, scale).encode(changes(found[None]))[0]
        missing = found.new_full((len(first) - most, *found.shape[1:]), torch.nan)
        return torch.cat([found, missing])

    def told(self, words: Tensor | None, frames: Tensor | None) -> dict[str, Tensor]:
        """A condition of the transformer, NaN for what is not given."""
        reader: PromptReader = self.state["reader"]
        rows = len(words) if words is not None else len(frames) if frames is not None else 0
        if words is None:
            words = torch.full((rows, self.longest, reader.width), torch.nan, dtype=torch.float32)
        if frames is None:
            code: MeshAutoencoder = self.state["code"]
            shape = (rows, len(self.state["first"]), code.channels, *code.grid[1:])
            frames = torch.full(shape, torch.nan, dtype=torch.float32)
        with torch.no_grad():
            guess = torch.cat([reader.guess(row[None]) for row in words])
        return {"words": words, "guess": guess, "frames": frames}

    def solution(self, latent: Tensor, points: Tensor, times: Sequence[float] | None) -> MeshField:
        """A solution from latents ``(Z, *grid)``, at points ``(M, d)`` and times; those of the training if None."""
        asked = (
            self.state["times"] if times is None else torch.as_tensor(times, dtype=torch.float64).reshape(-1)
        )
        with torch.no_grad():
            return self.decoded(latent[None], points, asked)

    def decoded(self, latent: Tensor, points: Tensor, times: Tensor) -> MeshField:
        """Latents ``(1, Z, *grid)`` at points and times, in data units, float64."""
        code, units = self.state["code"], self.state["units"]
        empty = torch.zeros(len(times), len(points), len(units.mean), dtype=torch.float32)
        one = MeshField(points.double(), times, empty)
        asked = PointPack.of([units.places(one.cloud()[0])])
        values = code.at(code.decode(latent), asked).double() * units.std + units.mean
        return replace(one, values=values.reshape(empty.shape))


def warn_if_sparse(one: MeshField, units: SimulationUnits, nodes: int, radius: float, effect: str) -> None:
    """Warn of a mesh that leaves most of the nodes of a grid without a point within the radius.

    Args:
        one: Simulation on the mesh.
        units: Box of the training.
        nodes: Nodes along each axis of space.
        radius: Distance within which points and nodes see each other, in units of the box.
        effect: What it does to the answer.
    """
    points = units.places(one.first(1).cloud()[0])[:, 1:]
    line = torch.linspace(0, 1, nodes, dtype=points.dtype)
    grid = torch.cartesian_prod(*(line,) * points.shape[1]).reshape(-1, points.shape[1])
    nearest = torch.cdist(grid, points).amin(1)
    empty = float((nearest > radius).double().mean())
    if empty > _SPARSE:
        told = f"{who()}: {empty:.0%} of the nodes have no point of the mesh within the radius {radius:g}"
        gap = f"the farthest is {float(nearest.max()):.2g} away from one, in units of the box"
        remedy = "Use a finer mesh, fewer nodes, or a larger radius."
        tell(SettingWarning, f"{told}; {gap}, and {effect}. {remedy}")


def _same_times(own: Tensor, first: Tensor, whole_run: Tensor) -> bool:
    """Whether times agree, whatever their unit and their zero: beside how long a simulation lasts."""
    return torch.allclose(own, first, rtol=1e-12, atol=1e-6 * float(whole_run[-1] - whole_run[0]))


def first_times(fields: Sequence[MeshField], frames: int) -> Tensor:
    """Times of the first frames, which all simulations share, ``(F,)``."""
    first = fields[0].times[:frames]
    for row, one in enumerate(fields):
        own = one.times[:frames]
        if len(own) < frames:
            rule = f"every simulation must have {frames} times at least, as frames says"
            raise invalid(rule, f"{len(own)} in row {row}", "Use a smaller value of frames.")
        if not _same_times(own, first, fields[0].times):
            rule = "the first frames of all simulations must be at the same times"
            raise invalid(
                rule,
                f"{own.tolist()} in row {row}, {first.tolist()} before",
                "Count from their start.",
            )
    return first


def encoded(
    code: MeshAutoencoder, units: SimulationUnits, fields: Sequence[MeshField], frames: int
) -> list[Tensor]:
    """Latents ``(N, Z, *grid)`` and first frames on the nodes ``(N, F, K, *nodes)``."""
    latents, seen = [], []
    with torch.no_grad():
        for first in range(0, len(fields), _TOGETHER):
            some = fields[first : first + _TOGETHER]
            clouds = [units.cloud(one) for one in some]
            pack = PointPack.of([cloud for cloud, _ in clouds])
            latents.append(code.encode(pack, torch.cat([values for _, values in clouds]))[0])
            seen += [seen_frames(code, units, one, frames) for one in some]
    return [torch.cat(latents), torch.stack(seen)]


def changes(seen: Tensor) -> Tensor:
    """Frames ``(N, F, K, *nodes)`` as the first one, and the changes from each to the next, which tell the velocity.

    The last channel, where nodes have points, is left as it is.
    """
    found = torch.cat([seen[:, :1], seen[:, 1:] - seen[:, :-1]], 1)
    return torch.cat([found[:, :, :-1], seen[:, :, -1:]], 2)


def frame_units(seen: Tensor) -> Standard:
    """Mean and deviation of each channel of each frame: changes are small beside the frames themselves."""
    found = changes(seen).double()
    over = (0, *range(3, found.ndim))
    mean, std = found.mean(over, keepdim=True)[0], found.std(over, keepdim=True)[0]
    mean[:, -1], std[:, -1] = 0.0, 1.0
    return Standard(mean, std.clamp(min=1e-6))


def read_prompts(reader: PromptReader, codes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens ``(N, L, E)`` of prompts, and the latents that they let expect."""
    with torch.no_grad():
        words = torch.cat(
            [reader(c, n) for c, n in zip(torch.split(codes, 256), torch.split(numbers, 256), strict=True)]
        )
        return words, torch.cat([reader.guess(part) for part in torch.split(words, 256)])


def seen_frames(code: MeshAutoencoder, units: SimulationUnits, one: MeshField, frames: int) -> Tensor:
    """The first frames on the nodes, ``(F, K, *nodes)``."""
    cloud, values = units.cloud(one.first(frames))
    size = len(one.points)
    parts = [
        code.frame(x[:, 1:], u)
        for x, u in zip(torch.split(cloud, size), torch.split(values, size), strict=True)
    ]
    return torch.stack(parts)
