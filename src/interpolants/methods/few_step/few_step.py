"""Few-step samplers: the K steps of a trained model are trained on as one map, by the distance of whole batches."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interpolants.dynamics.sample import sample
from interpolants.dynamics.samplers import ADAPTIVE
from interpolants.fields.learned import LearnedFields
from interpolants.foundations import asked
from interpolants.foundations.checks import one_of
from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Check, Count
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import FramedFields, widened
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.few_step.features import Scaled, new_features
from interpolants.methods.parts.conditions import check_told
from interpolants.methods.parts.start_points import draw_base
from interpolants.metrics.mmd import mmd
from interpolants.objectives.distribution_matching import (
    FeatureKernel,
    GaussianKernels,
    PolynomialKernel,
    mmd_loss,
)

KERNELS: Mapping[str, Callable[[], FeatureKernel]] = {
    "polynomial": PolynomialKernel,
    "gaussian": GaussianKernels,
}
FEATURES = ("entries", "pca", "convolutions")
# Rows that are judged, and real rows among which batches are drawn.
_JUDGED, _BANK = 512, 20_000


def _fixed_steps(who: str, method: Any) -> Any:
    if method in ADAPTIVE:
        raise invalid(who, "method must have fixed steps", repr(method), "For example, use 'ddim'.")
    return method


def _features(who: str, features: Any) -> Any:
    return features if callable(features) else one_of(who, "features", features, FEATURES)


def _judge(who: str, judge: Any) -> Any:
    return judge if callable(judge) else one_of(who, "judge", judge, (*FEATURES, "auto"))


def _kernel(who: str, kernel: Any) -> Any:
    return kernel if isinstance(kernel, FeatureKernel) else one_of(who, "kernel", kernel, KERNELS)


class FewStep(Trained):
    """Fine-tune a trained model so that ``n_steps`` steps of it give the distribution of the data.

    ::

        bridge = Bridge(path="vp").fit(x1=images)
        fast = FewStep(n_steps=2, steps=300).fit(model=bridge, x1=images)
        fast.sample(1000)                                   # two evaluations of the network

    The unrolled sampler is one map from noise to data, and its batches are compared with real ones by an unbiased
    squared maximum mean discrepancy in a feature space. The gradient is that of the whole batch; memory is that of
    ``micro`` rows. Weights are judged by the discrepancy of held-out rows in *another* feature space, and the best ones
    are kept, those of the model among them. Afterwards the networks are no denoisers any more: other numbers of steps,
    likelihoods and guidance would mean nothing, and there is ``sample`` alone.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Aiello, Valsesia & Magli (2024), arXiv:2301.07969; exact gradients of large batches are ours.
    """

    noun: ClassVar[str] = "few-step sampler"

    n_steps: Count = 2
    """Steps K of the sampler, evaluations of the network for one-stage methods."""
    method: Annotated[str, Check(_fixed_steps)] = "ddim"
    """A fixed-step method of ``dynamics.sample`` without noise."""
    features: Annotated[Any, Check(_features)] = "entries"
    """What batches are compared in: ``"entries"``, ``"pca"`` (20 components), for pictures ``"convolutions"``, or a
    frozen function ``(N, *D) -> (N, F)`` of states in the model's units, with a gradient in the states."""
    judge: Annotated[Any, Check(_judge)] = "auto"
    """What the weights are judged in, likewise; ``"auto"`` takes convolutions for pictures and else principal
    components, or entries where training has these. It must be another one. A network here, or as ``features``, must be
    in evaluation mode."""
    kernel: Annotated[Any, Check(_kernel, "polynomial | gaussian | FeatureKernel")] = "polynomial"
    """``"polynomial"`` (third degree), ``"gaussian"``, or a ``FeatureKernel``."""
    held_out: Annotated[float, Interval(gt=0, le=0.5)] = 0.2
    """Share of the rows to judge by."""
    micro: Count | None = None
    """Rows that are differentiated at once; None for the batch."""
    steps = 600
    batch_size: Annotated[int, Ge(2)] = 512
    lr = 1e-3
    ema = 0.98

    def check_settings(self) -> None:
        """Refuse a judge that sees what training sees."""
        if self.judge is self.features or self.judge == self.features:
            remedy = "Use 'auto'."
            raise asked.invalid("judge must see other features than those trained by", self.judge, remedy)

    def roles(self) -> tuple[Role, ...]:
        """A trained model, and real rows with their labels."""
        about = "a trained model from Gaussian noise"
        return (
            Role(name="model", kind="model", axis="", needs="fields", about=about),
            Role(name="x1", about="real rows"),
            Role(
                name="cond",
                kind="condition",
                optional=True,
                about="labels of the rows, where the model has some",
            ),
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Train the networks of the model on the discrepancy of batches."""
        check_model(data["model"])
        check_told("FewStep.fit", data["model"], data.get("cond"))
        model, cond = copy.deepcopy(data["model"]), data.get("cond")
        fields = model.fields
        check_labels(cond)
        rows = model.frame.encode(data["x1"]).float()
        # In evaluation mode: dropout would blur the map.
        nets = nn.ModuleList(fields.networks).requires_grad_(True).eval()
        first = copies(rows, cond)
        drawn = torch.randperm(len(rows), generator=generator(self.seed, "held out for few steps"))
        order = together(drawn, first)
        n = uncut(order, first, min(_JUDGED, max(2, round(self.held_out * len(rows)))))
        away, kept = order[:n], order[n:][:_BANK]
        if len(kept) < 2:
            raise invalid(
                "FewStep.fit", "x1 must have enough rows for training and for evaluation", len(rows)
            )
        ends = Ends(self, fields, rows[kept], None if cond is None else cond[kept])
        judge = Judge(self, fields, rows[kept], rows[away], None if cond is None else cond[away])
        start = judge(nets, 0)
        if start["held_out_mmd"] < 2 * start["held_out_error"]:
            found = (
                f"squared MMD {start['held_out_mmd']:.2g} ± {start['held_out_error']:.1g} on held-out rows"
            )
            remedy = "Use fewer steps, or a judge that sees more."
            tell(FitWarning, f"FewStep.fit: {found}: there is nothing left to gain. {remedy}")
        settings = self.training(validate_every=max(1, self.steps // 10), keep_best="held_out_mmd")
        result = run.train("few steps", nets, ends.loss, ends.batches, settings, validate=judge)
        best = result.best.value if result.best is not None else start["held_out_mmd"]
        nets.eval().requires_grad_(False)
        numbers = {"before": start["held_out_mmd"], "error": start["held_out_error"], "after": best}
        return {"model": model, "shape": tuple(rows.shape[1:]), "held_out_mmd": numbers}

    @capability(like="x1")
    def sample(self, n: int, *, seed: int = 0, cond: Tensor | None = None, first_index: int = 0) -> Any:
        """Draw ``n`` samples by the ``n_steps`` steps that were trained.

        Args:
            n: Number of samples.
            seed: Seed of the starts.
            cond: A label for all, or one per sample, where the model has labels.
            first_index: Index of the first sample in a larger job.
        """
        state = self.fitted_state("sample")
        model = state["model"]
        start = draw_base(model.fields.path.base, tuple(state["shape"]), n, seed, first_index)
        done = sample(
            model.fields,
            start,
            method=self.method,
            n_steps=self.n_steps,
            cond=cond,
            first_index=first_index,
        )
        return model.frame.decode(widened(done.x, self.given["x1"].torch_dtype))


def check_model(model: Any) -> LearnedFields:
    """The fields of a model that can be unrolled.

    Raises:
        InvalidInputError: If it has no learnt fields in a frame, or they do not start from a Gaussian base.
    """
    if not isinstance(model, FramedFields) or not isinstance(model.fields, LearnedFields):
        raise invalid("FewStep.fit", "model must have learnt fields, as Bridge has", type(model).__name__)
    path = model.fields.path
    if path is None or not isinstance(path.base, Gaussian):
        remedy = "For example, use Bridge(path='one_sided_linear')."
        raise invalid("FewStep.fit", "model must start from a Gaussian base", type(path).__name__, remedy)
    return model.fields


def check_labels(cond: Tensor | None) -> None:
    """Refuse conditions by which batches cannot be matched."""
    if cond is not None and cond.is_floating_point():
        remedy = "Train a model without them, or with labels."
        raise invalid(
            "FewStep.fit", "conditions must be labels: batches are matched within them", "numbers", remedy
        )


class Ends:
    """Batches of noise and real features, and their loss."""

    def __init__(self, settings: FewStep, fields: LearnedFields, rows: Tensor, labels: Tensor | None) -> None:
        self.settings, self.fields, self.labels = settings, fields, labels
        self.shape = tuple(rows.shape[1:])
        self.kernel = (
            settings.kernel if isinstance(settings.kernel, FeatureKernel) else KERNELS[settings.kernel]()
        )
        self.features: Scaled = new_features(settings.features, rows)
        with torch.no_grad():
            self.real = self.features(rows)

    def batches(self, step: int, source: torch.Generator, rank: int, world: int) -> dict[str, Any]:
        """Noise, and features and labels of real rows."""
        size = max(2, self.settings.batch_size // world)
        noise = self.fields.path.base.noise((size, *self.shape), generator=source, dtype=torch.float32)  # type: ignore[union-attr]
        pick = torch.randint(len(self.real), (size,), generator=source)
        labels = None if self.labels is None else self.labels[pick]
        return {"z": noise, "real": self.real[pick], "labels": labels}

    def loss(self, nets: nn.Module, batch: Mapping[str, Any], source: torch.Generator) -> dict[str, Tensor]:
        """The discrepancy of the batch; rows are differentiated ``micro`` at a time, by doing their steps again."""
        z, labels = batch["z"], batch["labels"]
        micro = self.settings.micro or len(z)
        parts = []
        for k in range(0, len(z), micro):
            told = None if labels is None else labels[k : k + micro]
            args = (z[k : k + micro], told)
            is_whole = micro >= len(z)
            parts.append(
                self._made(*args) if is_whole else checkpoint(self._made, *args, use_reentrant=False)
            )
        both = None if labels is None else (labels, labels)
        return {"mmd": mmd_loss(self.kernel, torch.cat(parts), batch["real"].to(z.device), both)}

    def _made(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.features(unrolled(self.fields, z, labels, self.settings))


class Judge:
    """Squared MMD of the few-step samples to held-out rows in other features, for the same noise each time."""

    def __init__(
        self, settings: FewStep, fields: LearnedFields, rows: Tensor, away: Tensor, labels: Tensor | None
    ) -> None:
        self.settings, self.fields, self.labels = settings, fields, labels
        names = [name for name in judges(rows) if name != settings.features]
        kind = names[0] if settings.judge == "auto" else settings.judge
        features = new_features(kind, rows, setting="judge")
        self.features: Scaled = features
        with torch.no_grad():
            self.real = features(away)
        apart = torch.pdist(self.real[:500].double()).median()
        self.widths = [float(apart) * k for k in (0.5, 1.0, 2.0)]
        source = generator(settings.seed, "noise of the judge")
        noise = fields.path.base.noise((len(away), *away.shape[1:]), generator=source, dtype=torch.float32)  # type: ignore[union-attr]
        self.z = noise

    def __call__(self, nets: nn.Module, step: int) -> dict[str, float]:
        """The number by which weights are chosen, and its standard error."""
        with torch.no_grad():
            made = self.features(unrolled(self.fields, self.z, self.labels, self.settings))
        if not bool(torch.isfinite(made).all()):
            return {"held_out_mmd": math.inf, "held_out_error": math.inf}
        found = mmd(made, self.real, bandwidths=self.widths)
        return {"held_out_mmd": found.value, "held_out_error": found.error}


def judges(rows: Tensor) -> tuple[str, ...]:
    """Features to judge in, by preference."""
    return ("convolutions", "pca", "entries") if rows.ndim == 4 else ("pca", "entries")


def unrolled(fields: LearnedFields, z: Tensor, labels: Tensor | None, settings: FewStep) -> Tensor:
    """Where the steps lead from noise, with the graph."""
    base = fields.path.base  # type: ignore[union-attr]
    assert base is not None
    return sample(
        fields, base.color(z), method=settings.method, n_steps=settings.n_steps, cond=labels,
        differentiable=torch.is_grad_enabled(), invariant=False, chunk=len(z), on_failure="keep",
    ).x  # fmt: skip
