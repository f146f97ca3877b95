"""Whole simulations on any mesh from a sentence or from first frames: diffusion in the latents of a mesh autoencoder.

Letters: N simulations, M points of a mesh, T times, C channels, Z latent channels, L words, F frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.data.prompts import PromptVocabulary
from interpolants.apps.simulation.latent_transformer import LatentTransformer
from interpolants.apps.simulation.mesh_autoencoder import MeshAutoencoder, check_sizes
from interpolants.apps.simulation.nets.kernel_integral import RULES
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.apps.simulation.prompt_reader import PromptBatches, PromptReader, reader_loss
from interpolants.apps.simulation.simulation_roles import Simulations
from interpolants.apps.simulation.simulation_training import (
    CloudBatches,
    CloudLoss,
    LatentRows,
    SimulationUnits,
)
from interpolants.apps.simulation.simulator_parts import (
    Answering,
    changes,
    encoded,
    first_times,
    frame_units,
    read_prompts,
    warn_if_sparse,
)
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.inner_nets import inner_net
from interpolants.foundations.kinds import (
    Answer,
    Check,
    Count,
    NonNegative,
    OneOf,
    Positive,
    Real,
    Share,
)
from interpolants.foundations.randomness import key
from interpolants.framework.capabilities import capability
from interpolants.framework.far_values import warn_if_far
from interpolants.framework.frames import Standard
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.guidance.classifier_free import ClassifierFree
from interpolants.methods.parts.choices import choose_path
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.training.pairs import finished

_HARDLY = "its latents hardly see it"

POINTS = Role(
    name="points",
    kind="meshes",
    about="A file of meshes to answer on; that of the first training row if none.",
)


class TextToSimulation(Trained):
    """Learn whole solutions on meshes, and answer with one for a sentence, or for the first frames of another.

    ::

        model = TextToSimulation(box=[[0, 0], [1, 1]]).fit(fields, prompts)   # lists, one entry a simulation
        drawn = model.sample(4, prompt="Smoke of width 0.12 drifts north ...", points=mesh)
        ahead = model.forecast(first_frames, members=8)                        # on the mesh of the frames

    A `fields` entry is a `MeshField`, a mapping with points ``(M, d)``, times ``(T,)`` and values ``(T, M, C)``, or a
    Dataset of xarray; meshes may differ in every one. An autoencoder carries a solution, all its times at once, to
    latents on a regular grid; a diffusion transformer learns the distribution of latents, given the words of a prompt
    and up to ``frames`` first frames, or without them. Answers can be had at any points and times of the box.

    A reader of prompts is trained on the way: its tokens, and the latents that they let expect, tell the transformer. A
    prompt does not fix a solution: samples differ. Compare them with the prompt, not with one solution alone.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Zhou, Li, Schneier, Buchanan & Barati Farimani (2025), arXiv:2410.01153. Ours: packs without padding,
    latents scaled by their own deviation, any one-sided path, a small encoder of words and numbers in place of a
    pretrained one, one model for prompts and frames.
    """

    only_cpu: ClassVar[str] = "simulations stay where they were read"
    noun: ClassVar[str] = "simulator"

    box: Any = None
    """Lowest and highest coordinates of space, ``[[x, y], [x, y]]``; from the meshes when None."""
    nodes: Annotated[int, Ge(4)] = 16
    """Nodes of the grid along each axis of space; even, as latents have half of them."""
    times_nodes: Annotated[int, Ge(4)] = 8
    """Nodes along the time; even."""
    width: Count = 16
    """Channels of the autoencoder; a multiple of 4."""
    latent: Count = 4
    """Z, channels of the latents."""
    radius: Annotated[float, Interval(gt=0, lt=1)] = 0.13
    """Distance within which points and nodes see each other, in units of the box."""
    stretch: Positive = 1.2
    """How much the time counts beside space in that distance."""
    rule: Annotated[str, OneOf(lambda: RULES)] = "average"
    """``"average"``: kernels whose sum is one; ``"mean"`` as in the paper."""
    by_area: bool = False
    """Whether points count by the size of their cells, for meshes that are finer in some places."""
    kl_weight: NonNegative = 2e-7
    """Weight of the latents' divergence from a standard Gaussian."""
    code_steps: Count = 1000
    """Steps of the autoencoder's training."""
    code_batch: Count = 8
    """Simulations per step of it."""
    code_lr: Positive = 5e-3
    """Its learning rate."""
    queries: Count = 300
    """Points of a simulation that are asked for in a step of it."""
    frames: Count = 2
    """F, most first frames that can be given; all simulations have these at the same times."""
    longest: Count = 32
    """L, most words and numbers of a prompt."""
    read_steps: Count = 2000
    """Steps of the reader's training."""
    read_batch: Count = 64
    """Prompts per step of it."""
    text_width: Count = 64
    """Width of its tokens."""
    patch: Count = 2
    """Length of the transformer's patches."""
    net_width: Count = 96
    """Width of the transformer."""
    depth: Count = 4
    """Its layers."""
    heads: Count = 4
    """Its attention heads."""
    silent: Share = 0.4
    """Share of training rows without their prompt."""
    blind: Share = 0.5
    """Share of training rows without frames."""
    path: Annotated[Any, Check(choose_path, "name | table | object")] = "one_sided_linear"
    """A one-sided path with a Gaussian base: a name, a table or a ``Path``."""
    head: Annotated[str, OneOf(lambda: QUANTITIES)] = "velocity"
    """Quantity that the transformer learns; ``"velocity"``, ``"noise"``, ``"denoised"`` and ``"score"`` are usual."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Count] = 24
    """Steps of the sampler."""
    guidance: Answer[Real] = 1.0
    """w of classifier-free guidance by what is given; 1 is none."""
    steps = 2000
    batch_size = 32
    lr = 2e-3
    ema = 0.998

    def check_settings(self) -> None:
        """Refuse sizes that do not fit each other, and make the flow."""
        check_sizes(self.nodes, self.times_nodes, self.width, self.radius, self.stretch)
        if self.nodes // 2 % self.patch or self.times_nodes // 2 % self.patch:
            rule = "patch must divide half of nodes and half of times_nodes, the grid of the latents"
            raise invalid(rule, (self.patch, self.nodes, self.times_nodes))
        self.flow = ConditionalFlow(who=who(), path=self.path, head=self.head, times=self.times, mean=True)

    def roles(self) -> tuple[Role, ...]:
        """Simulations, and a prompt for each."""
        return (
            Role(
                name="fields",
                kind="simulations",
                about="Simulations on meshes: an npz or NetCDF file, or a folder.",
            ),
            Role(
                name="prompt",
                kind="prompts",
                optional=True,
                about="A sentence, or a .txt file with one a line.",
            ),
        )

    def fit(self, fields: Any = None, prompt: Any = None, **options: Any) -> Self:
        """Learn from simulations.

        Args:
            fields: A list of simulations, each with its own mesh.
            prompt: A sentence for each; None for those without.
            options: As in :meth:`interpolants.framework.method.Method.fit`.

        Raises:
            InvalidInputError: If a point is outside of the box, a channel is constant, or first frames differ in time.
        """
        return super().fit(fields=fields, prompt=prompt, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The autoencoder; latents and frames of all rows; the transformer."""
        fields: list[MeshField] = data["fields"]
        units, first = SimulationUnits.fit(fields, self.box), first_times(fields, self.frames)
        for one in fields:
            warn_if_sparse(one, units, self.nodes, self.radius, _HARDLY)
        prompts = data["prompt"] if data.get("prompt") is not None else [None] * len(fields)
        vocabulary = PromptVocabulary.of(text for text in prompts if text is not None)
        codes, numbers = vocabulary.encode(prompts, self.longest, who())
        autoencoder = MeshAutoencoder(
            fields[0].values.shape[-1], space=fields[0].points.shape[1], nodes=self.nodes, times=self.times_nodes,
            width=self.width, latent=self.latent, radius=self.radius, stretch=self.stretch, rule=self.rule,
            by_area=self.by_area, seed=self.seed,
        )  # fmt: skip
        clouds = CloudBatches(fields, units, self.code_batch, self.queries)
        settings = self.training(steps=self.code_steps, batch_size=self.code_batch, lr=self.code_lr)
        result = run.train("autoencoder", autoencoder, CloudLoss(self.kl_weight), clouds, settings)
        code = finished(autoencoder, result, prefix="")
        latents, seen = run.once("latents", lambda source: encoded(code, units, fields, self.frames))
        frame = Standard().fit(latents)
        scaled, shape = frame.encode(latents), tuple(latents.shape[1:])
        reader = PromptReader(len(vocabulary), shape, width=self.text_width, heads=self.heads, seed=self.seed)
        if bool(codes.any()):
            told = PromptBatches(codes, numbers, scaled, self.read_batch)
            settings = self.training(steps=self.read_steps, batch_size=self.read_batch)
            reader = finished(reader, run.train("reader", reader, reader_loss, told, settings), prefix="")
        else:  # no row has a prompt
            reader.eval().requires_grad_(False)
        words, guesses = read_prompts(reader, codes, numbers)
        look = frame_units(seen)
        rows = LatentRows(
            latents=scaled, words=words, guesses=guesses, frames=look.encode(changes(seen)), silent=self.silent,
            blind=self.blind,
        )  # fmt: skip
        inner = LatentTransformer(
            shape, text_width=self.text_width, frames=self.frames, frame_channels=seen.shape[2],
            patch=self.patch, width=self.net_width, depth=self.depth, heads=self.heads, seed=self.seed,
        )  # fmt: skip
        return {
            "code": code,
            "reader": reader,
            "net": self.flow.learnt(run, "transformer", self.flow.wrap(inner), rows, self.training()),
            "units": units,
            "frame": frame,
            "look": look,
            "vocabulary": vocabulary,
            "first": first,
            "mesh": fields[0].first(0),
            "times": fields[0].times,
        }

    # --- capabilities

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Of a context the first frames alone are looked at, and compared."""
        return "" if argument == "context" else super().likened(verb, argument, options)

    @capability(reads={"points": POINTS}, like="fields")
    def sample(
        self,
        /,
        n: Count,
        *,
        prompt: Any = None,
        points: Any = None,
        times: Sequence[float] | None = None,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Simulations for a prompt, or any that might be without one.

        Args:
            n: Number of simulations.
            prompt: A sentence for all of them, or several that are taken in turn.
            points: Points ``(M, d)`` of a mesh for all, or several meshes that are taken in turn; that of the first
                training row if not given.
            times: Times to answer at, within those of the training; those of the first training row if not given.
            method: An ODE solver.
            seed: Seed of the noise; simulation i is one number of (seed, i).
            first_index: Index of the first simulation in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            A list with one simulation a row, in the form of the fit.
        """
        parts = self._answering()
        meshes = [self.state["mesh"].points] if points is None else points
        told = None if prompt is None else [prompt[k % len(prompt)] for k in range(n)]
        cond = None if told is None else parts.told(parts.words(told), None)
        x = self._latents(n, cond, method, seed, first_index)
        return Simulations([parts.solution(x[k], meshes[k % len(meshes)], times) for k in range(n)])

    @capability(reads={"context": "fields"}, like="context")
    def forecast(
        self,
        /,
        context: Any,
        *,
        prompt: Any = None,
        members: Count = 1,
        times: Sequence[float] | None = None,
        frames: int | None = None,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Members of whole simulations whose first frames are given, on the meshes of these frames.

        Args:
            context: Simulations, of which the first frames alone are used: at most ``frames`` of them, at the times of
                the training's first frames.
            prompt: A sentence for each, beside the frames.
            members: Members for each.
            times: As in :meth:`sample`; those of the training if not given.
            frames: How many frames are used; as many as there are, up to those of the fit, if not given.
            method: An ODE solver.
            seed: Seed of the noise.
            first_index: Index of the first simulation in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            One simulation a row, with values ``(members, T, M, C)``.
        """
        parts = self._answering()
        seen = torch.stack([parts.shown(one, frames) for one in context])
        first = [one.first(len(parts.state["first"]) if frames is None else frames) for one in context]
        sizes = [parts.state["units"].values(one.values).flatten(0, -2) for one in first]
        root_mean_squares = torch.stack([z.square().mean(0).sqrt() for z in sizes])
        warn_if_far(who(), "context", root_mean_squares, context[0].channels)
        cond = parts.told(None if prompt is None else parts.words(prompt), seen)
        every = {name: part.repeat_interleave(members, 0) for name, part in cond.items()}
        x = self._latents(len(context) * members, every, method, seed, first_index * members)
        made = [
            [parts.solution(x[k * members + m], one.points, times) for m in range(members)]
            for k, one in enumerate(context)
        ]
        return Simulations(
            [replace(rows[0], values=torch.stack([one.values for one in rows])) for rows in made]
        )

    def reconstructed(self, fields: Any, points: Any = None) -> list[MeshField]:
        """Simulations through the autoencoder alone, on their own meshes or on other ones ``[(M, d), ...]``.

        Args:
            fields: `MeshField`, one a row.
            points: A mesh for each.
        """
        state, parts = self.fitted_state("reconstructed"), self._answering()
        code, units = state["code"], state["units"]
        found = []
        with torch.no_grad():
            for k, one in enumerate(fields):
                cloud, values = units.cloud(one)
                mean, _ = code.encode(PointPack.of([cloud]), values)
                mesh = one.points if points is None else torch.as_tensor(points[k], dtype=torch.float64)
                found.append(parts.decoded(mean, mesh, one.times))
        return found

    def _answering(self) -> Answering:
        return Answering(self.state, self.longest, self.radius)

    def _latents(self, n: int, cond: Any, method: str, seed: int, first: int) -> Tensor:
        """Latents ``(n, Z, *grid)`` in units of the autoencoder."""
        inner: Any = inner_net(self.state["net"])
        fields, guidance = self.flow.fields(self.state["net"]), self.guidance if cond is not None else 1.0
        done = self.flow.drawn(
            fields if guidance == 1 else ClassifierFree(fields, guidance), inner.shape, n,
            seed=key(seed, "simulations") >> 33, first=first, cond=cond, method=method, n_steps=self.n_steps,
        )  # fmt: skip
        found: Tensor = self.state["frame"].decode(done.x)
        return found
