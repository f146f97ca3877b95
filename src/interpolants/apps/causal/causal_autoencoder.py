"""Causal diffusion autoencoder: what an image would look like, had one of its factors been another.

Letters: B rows, n factors, d numbers of each block, u exogenous and z causal codes ``(B, n, d)``, X0 a row's noise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn

from interpolants.apps.causal.abduction import Way, counterfactual_states
from interpolants.apps.causal.causal_graph import CausalGraph, Graph
from interpolants.apps.causal.causal_training import CausalLoss, CodedRows, choose_encoder, encoded
from interpolants.apps.causal.factor_ranges import FactorRanges, check_factors
from interpolants.apps.causal.interventional import drawn_exogenous, kept_exogenous
from interpolants.apps.causal.interventions import DO
from interpolants.apps.causal.nets.structural_layer import StructuralLayer
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Answer, Check, Count, NonNegative, Positive, Real
from interpolants.foundations.randomness import BLOCK
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, constants_of, with_constants
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.guidance.classifier_free import ClassifierFree
from interpolants.methods.parts.choices import choose_path, choose_times
from interpolants.methods.parts.conditional_flow import ConditionalFlow, FlowBatches
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import choose_net, library_net
from interpolants.objectives.losses import VelocityLoss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.training.pairs import finished


class CausalAutoencoder(Trained):
    """Learn images with some of their factors and a causal graph of these; ask what an image would have been.

    ::

        model = CausalAutoencoder(graph="thickness -> intensity").fit(images, factors)  # (N, 2), NaN: unknown
        thick = model.counterfactual(images, do={"thickness": 4.0})                     # brighter, too
        model.encode(images, do={"thickness": 4.0})                                     # its factors
        model.sample(100, do={"thickness": 4.0})                                        # new images of thick strokes

    An encoder gives each factor a block z_i of the code, which is pulled to the factor's value where that is known,
    and a structural model ``z_i = f_i(z_causes) + u_i`` links the blocks. A one-sided flow from noise decodes an image
    given z. A counterfactual is abduction (u, and the noise X0 by the flow backwards), action (z_i set, arrows into it
    cut) and prediction (descendants anew, then the flow from X0). What is no factor is in X0, and stays.

    Raises:
        InvalidInputError: If a setting is out of range, or the graph has a cycle.

    Source: Komanduri et al. (2024), arXiv:2404.17735. Ours: mechanisms see the causal values of causes, the encoder
    gives z and u follows (the map has volume 1), divergences count by factor, labels have a spread of their own.
    """

    only_cpu: ClassVar[str] = "rows stay where they were read"
    noun: ClassVar[str] = "causal autoencoder"

    graph: Graph = "cause -> effect"
    """Factors and which causes which; see :class:`~interpolants.apps.causal.causal_graph.CausalGraph`."""
    block: Count = 4
    """d, numbers of the code of each factor."""
    code_weight: NonNegative = 0.1
    """Weight of the divergences of the codes beside the decoder's error; by factor, whatever the block."""
    spread: Positive = 0.1
    """Deviation of codes about known factors, in deviations of the factor. The paper's 1 pulls a code half way to zero:
    ``z = y / (1 + spread^2)``, less where the decoder asks for it."""
    drop_code: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Chance of a training row to be decoded without its code; guidance needs some."""
    guidance: Answer[Real] = 1.0
    """Strength of the code in both directions of the flow; 1 is the model's own."""
    abduction: Answer[Way] = "invert"
    """How a row's noise X0 is found; ``"renoise"`` and ``"fresh"`` are controls, which draw it."""
    propagate: Answer[bool] = True
    """Whether effects of what is set follow; without, nothing but the set factors moves: a control."""
    path: Annotated[Any, Check(choose_path)] = "one_sided_linear"
    """A one-sided path with a Gaussian base of one scale."""
    net: Annotated[Any, Check(library_net, "name | table")] = "auto"
    """The decoder; ``"auto"`` is a U-Net for images, else a perceptron."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Annotated[int, Ge(2)]] = 20
    """Steps of the flow, in each direction."""
    steps = 3000
    batch_size = 128

    def check_settings(self) -> None:
        """Refuse guidance of a decoder that cannot do without the code, and make the flow."""
        self.flow = ConditionalFlow(who=who(), path=self.path, times=self.times, wrapped=QUANTITIES)
        if self.guidance != 1 and not self.drop_code:
            rule = "guidance needs a decoder that also learnt to do without the code"
            raise invalid(rule, f"guidance={self.guidance}", "Fit with drop_code=0.1, or use guidance=1.")

    @property
    def dag(self) -> CausalGraph:
        """The graph of the factors."""
        return CausalGraph.of(self.graph)

    @property
    def _is_named(self) -> bool:
        return self.given["factors"].container == "pandas"

    def roles(self) -> tuple[Role, ...]:
        """Images, or vectors, and their factors."""
        names = self.dag.names
        told = f"{', '.join(names)}; NaN where unknown"
        return Role(name="x", about="Images or vectors."), Role(
            name="factors", gaps=True, columns=names, about=told
        )

    def columns(self, name: str) -> tuple[str, ...]:
        """Factors have the names of the graph."""
        return self.dag.names if name in ("factors", "do") else super().columns(name)

    def fit(self, x: Any = None, factors: Any = None, **options: Any) -> Self:
        """Learn from images and their factors.

        Args:
            x: Images ``(N, C, H, W)``, or vectors ``(N, D)``.
            factors: ``(N, n)``, or a table with the names of the graph; NaN where unknown.
            options: As in :meth:`interpolants.framework.method.Method.fit`.

        Raises:
            InvalidInputError: If factors do not fit the graph, are known of no row, or do not vary.
        """
        return super().fit(x=x, factors=factors, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Encoder, structural model and decoder, by one gradient loop."""
        ranges = check_factors(who(), data["factors"], self.graph, named=self._is_named)
        frame, units = Standard().fit(data["x"]), Standard().fit(data["factors"])

        def rows(part: Mapping[str, Any]) -> CodedRows:
            return CodedRows(frame.encode(part["x"]).float(), units.encode(part["factors"]).float())

        known = rows(data)
        shape, codes = tuple(known.x.shape[1:]), len(self.dag.names) * self.block
        net = choose_net(self.net, shape, 1, torch.zeros(1, codes), self.seed, who=who()).float()
        trained: dict[str, nn.Module] = {
            "net": self.flow.wrap(net),
            "encoder": choose_encoder(shape, 2 * codes, self.seed + 1),
            "structure": StructuralLayer(self.graph, self.block, seed=self.seed + 2),
        }
        times = choose_times(who(), self.times, self.path)
        if isinstance(times, nn.Module):
            trained["times"] = times
        parts = nn.ModuleDict(trained)

        def loss(told: TimeSampler) -> CausalLoss:
            return CausalLoss(
                VelocityLoss(self.path), block=self.block, weight=self.code_weight, spread=self.spread,
                drop=self.drop_code, times=told,
            )  # fmt: skip

        def unseen(size: int) -> FlowBatches:
            return FlowBatches(rows(run.held), size, StratifiedTimes())

        held, images = unseen if run.held else None, known.x.ndim == 4
        settings, options = followed(run, self.training(), loss(StratifiedTimes()), held, images=images)
        batches = FlowBatches(known, self.batch_size, times)
        result = run.train("autoencoder", parts, loss(times), batches, settings, **options)
        done: Any = finished(parts, result, prefix="")
        kept = {name: done[name] for name in ("net", "encoder", "structure")}
        z = by_blocks(lambda part: encoded(kept["encoder"], part, self.block)[0], known.x)
        drawn_from = kept_exogenous(by_blocks(kept["structure"].abduct, z))
        return {**kept, "frame": frame, "units": units, "ranges": ranges, "exogenous": drawn_from,
                "fixed": constants_of(data["x"])}  # fmt: skip

    # --- codes

    def codes(self, x: Tensor) -> Tensor:
        """Causal codes z of rows in data units, ``(B, *D)`` -> ``(B, n, d)``: the mean of the encoder."""
        state = self.fitted_state("codes")
        rows = state["frame"].encode(x).float()
        return by_blocks(lambda part: encoded(state["encoder"], part, self.block)[0], rows)

    def codes_after(self, z: Tensor, do: Tensor | None) -> Tensor:
        """Codes after an intervention on factors in their own units, ``(B, n)`` with NaN where nothing is set."""
        if do is None:
            return z
        state = self.fitted_state("codes_after")
        wanted = state["units"].encode(do.double()).to(z)[:, :, None].expand(z.shape)
        if not self.propagate:
            return torch.where(wanted.isnan(), z, wanted)
        return by_blocks(state["structure"].do, z, wanted.contiguous())

    def fields(self) -> Any:
        """Fields of the decoder, with the strength of the code that ``guidance`` says."""
        known = self.flow.fields(self.fitted_state("fields")["net"])
        return known if self.guidance == 1 else ClassifierFree(known, self.guidance)

    # --- capabilities

    @capability(reads={"do": DO}, like="x")
    def counterfactual(
        self,
        /,
        x: Tensor,
        *,
        do: Tensor | None = None,
        method: str = "midpoint",
        beyond: bool = False,
        **settings: Any,
    ) -> Tensor:
        """What rows would have been, had factors been set: ``(B, *D)``.

        Args:
            x: Rows as they are.
            do: Which factors are set: ``{"angle": 20.0}``, a value for each row, a table, or ``"angle=20, light=5"``.
                Without it rows go to noise and back.
            method: An ODE solver.
            beyond: Whether values may lie outside of those that the fit has seen.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: If a name is no factor, or a value lies outside of what the fit has seen.
        """
        before, after = self._both(x, do, beyond)
        frame = self.state["frame"]
        found = counterfactual_states(
            self.fields(),
            frame.encode(x).float(),
            before.flatten(1),
            after.flatten(1),
            abduction=self.abduction,
            seed=self.seed,
            method=method,
            n_steps=self.n_steps,
        )
        decoded: Tensor = frame.decode(found.double()).to(x)
        fixed: Tensor | None = self.state.get("fixed")  # what was given of a constant column stays
        return decoded if fixed is None else torch.where(fixed.isnan(), decoded, x)

    @capability(reads={"do": DO}, like="x", takes=("guidance", "propagate", "n_steps"))
    def sample(
        self,
        /,
        n: Count,
        *,
        do: Tensor | None = None,
        method: str = "midpoint",
        beyond: bool = False,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """New rows, where factors are set if asked for: ``(n, *D)``.

        Exogenous values are those of training rows, of each factor from another row; factors that are set have no
        causes any more; X0 is drawn. These are draws of ``p(x | do(...))``: causes of a factor that is set do not
        follow it, as they would among rows that happen to have its value.

        Args:
            n: Number of rows.
            do: Which factors are set, as in :meth:`counterfactual`.
            method: An ODE solver.
            beyond: Whether values may lie outside of those that the fit has seen.
            seed: Seed of the draws; row i is one function of (seed, i).
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: As :meth:`counterfactual`.
        """
        state = self.state
        if do is not None:
            state["ranges"].check(who(), do, beyond=beyond)
        z = by_blocks(
            state["structure"], drawn_exogenous(state["exogenous"], n, seed=seed, first=first_index)
        )
        found = self.flow.drawn(
            self.fields(), self.shapes["x"], n, seed=seed, first=first_index,
            cond=self.codes_after(z, do).flatten(1), method=method, n_steps=self.n_steps,
        ).x  # fmt: skip
        decoded: Tensor = state["frame"].decode(found.double())
        return with_constants(decoded, state.get("fixed"))

    def cannot(self, verb: str) -> str:
        """A model of a version without this verb has kept nothing to draw from."""
        old = verb == "sample" and self.is_fitted and "exogenous" not in self.state
        return "it was fitted by a version that kept no exogenous values. Fit it again." if old else ""

    @capability(reads={"do": DO}, like="do", takes=("propagate",))
    def encode(
        self, /, x: Tensor, *, do: Tensor | None = None, beyond: bool = False, **settings: Any
    ) -> Tensor:
        """Factors of rows, ``(B, n)``: as they are, or after an intervention.

        Args:
            x: Rows as they are.
            do: As in :meth:`counterfactual`.
            beyond: Whether values may lie outside of those that the fit has seen.
            settings: Settings of answers, for this call.
        """
        _, after = self._both(x, do, beyond)
        decoded: Tensor = self.state["units"].decode(after.double().mean(2))
        return (decoded if do is None else torch.where(do.isnan(), decoded, do)).to(x)

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Factors that are set have a check of their own, of their range."""
        return "" if argument == "do" else super().likened(verb, argument, options)

    def _both(self, x: Tensor, do: Tensor | None, beyond: bool) -> tuple[Tensor, Tensor]:
        """Codes before and after."""
        if do is not None:
            ranges: FactorRanges = self.state["ranges"]
            ranges.check(who(), do, beyond=beyond)
        before = self.codes(x)
        return before, self.codes_after(before, do)


def by_blocks(call: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """An answer by rows, 64 at a time, the last block filled up, so that no row feels the others."""
    found = []
    for first in range(0, len(rows[0]), BLOCK):
        parts: Sequence[Tensor] = [x[first : first + BLOCK] for x in rows]
        short = BLOCK - len(parts[0])
        wide = [torch.cat([x, x[:1].expand(short, *x.shape[1:])]) for x in parts]
        found.append(call(*wide)[: BLOCK - short])
    return torch.cat(found)
