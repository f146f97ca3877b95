"""Models of diffusers as fields: U-Nets and DiTs that predict noise, data or velocity, with their scheduler's noise.

diffusers counts steps ``k = 0 ... K - 1`` from the data, with ``alphas_cumprod[k]`` after k + 1 of them. Here step
``n = k + 1`` of ``paths.DiscreteSchedule`` is the time ``t = 1 - n/K``, so that a network is asked at
``k = K (1 - t) - 1``: fractional between two steps, and held at 0 within the first. With ``a = sqrt(alphas_cumprod)``,
``s = sqrt(1 - a^2)`` and ``x = a x1 + s z``, ``v = a z - s x1`` gives both ``z = a v + s x`` and ``x1 = a x - s v``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from interpolants.fields.learned import LearnedFields
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.ops import expand_like
from interpolants.foundations.size_guard import build_checked
from interpolants.foundations.storage import read_document
from interpolants.foundations.types import Condition
from interpolants.foundations.unpacking import refusing_content
from interpolants.nets.split import Features
from interpolants.paths.discrete_schedule import DiscreteSchedule
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.path import SpatiallyLinearPath

WHO = "from_diffusers"
# What a network predicts, in the words of diffusers -> the quantities that it gives.
PREDICTIONS: Mapping[str, tuple[str, ...]] = {
    "epsilon": ("noise",),
    "sample": ("denoised",),
    "v_prediction": ("noise", "denoised"),
    "flow_prediction": ("velocity",),
}
# Networks that are made from a folder; an object may be any module that is called alike.
_NETWORKS = ("UNet2DModel", "DiTTransformer2DModel")
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_MOST_STEPS, _MOST_POSITIONS = 1_000_000, 1 << 28


class DiffusersNet(nn.Module):
    """A network of diffusers, called as ``net(x, t, cond)`` in our time.

    Args:
        net: Called as ``net(x, k, class_labels=...)``.
        path: The path that the scheduler stands for.
        prediction: One of :data:`PREDICTIONS`.
        steps: K, the number of steps of the scheduler.
        null_label: The class that stands for none, or None.
    """

    def __init__(
        self, net: nn.Module, path: SpatiallyLinearPath, prediction: str, steps: int, null_label: int | None
    ) -> None:
        super().__init__()
        self.net, self.path, self.prediction, self.steps, self.null = net, path, prediction, steps, null_label
        config = _config(net)
        self.channels = config.get("in_channels")
        classes = _classes(config)
        self.is_conditional = classes is not None
        self.labels = max(classes or 0, -1 if null_label is None else null_label + 1)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """What the network predicts, ``(B, *D)``, or ``(B, 2, *D)`` for noise and data from ``v_prediction``.

        Args:
            x: States, ``(B, C, H, W)``.
            t: Times, ``(B,)``.
            cond: Labels, ``(B,)``; -1 for none.
        """
        self._check_states(x)
        out: Tensor = self.net(x, self._clock(t), return_dict=False, **self._labels(x, cond))[0]
        out = self._predicted(out, x.shape[1])
        return out if self.prediction != "v_prediction" else self._both(x, t, out)

    def _check_states(self, x: Tensor) -> None:
        if self.channels is not None and (x.ndim != 4 or x.shape[1] != self.channels):
            rule = f"states must have shape (B, {self.channels}, H, W)"
            raise invalid(WHO, rule, tuple(x.shape), "Start from noise of the shape of the network's images.")

    def _clock(self, t: Tensor) -> Tensor:
        """The time as the network counts it."""
        is_flow = self.prediction == "flow_prediction"
        return self.steps * (1 - t) if is_flow else (self.steps * (1 - t) - 1).clamp_min(0)

    def _predicted(self, out: Tensor, channels: int) -> Tensor:
        """The prediction, without the variance of the reverse step that some networks add: no field is made of it."""
        out = out[:, :channels] if out.shape[1] == 2 * channels else out
        return -out if self.prediction == "flow_prediction" else out

    def _both(self, x: Tensor, t: Tensor, v: Tensor) -> Tensor:
        a, s = (expand_like(c, x).to(x) for c in (self.path.beta(t), self.path.alpha(t)))
        return torch.stack([a * v + s * x, a * x - s * v], 1)

    def _labels(self, x: Tensor, cond: Condition) -> dict[str, Tensor]:
        """The argument that tells the network its labels."""
        if not self.is_conditional:
            if cond is not None:
                raise invalid(
                    WHO, "a network without classes takes no condition", "a condition", "Leave cond out."
                )
            return {}
        if cond is None:
            cond = torch.full((x.shape[0],), -1, device=x.device)
        if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.shape != x.shape[:1]:
            found = tuple(cond.shape) if isinstance(cond, Tensor) else type(cond).__name__
            raise invalid(WHO, "cond must be one label per row, whole numbers (B,)", found)
        if self.null is not None:
            cond = torch.where(cond < 0, self.null, cond)
        elif not torch.compiler.is_compiling() and bool((cond < 0).any()):
            remedy = (
                "Pass cond= with the request, or null_label=, the class that stands for none, if it has one."
            )
            raise invalid(WHO, "a network with classes must be told a label", "none", remedy)
        if not torch.compiler.is_compiling() and bool((cond >= self.labels).any()):
            raise invalid(WHO, f"cond must be labels 0 to {self.labels - 1}", int(cond.max()))
        return {"class_labels": cond}


class SplitDiffusersNet(DiffusersNet):
    """A U-Net of diffusers, split into an encoder and a decoder for ``EncoderPropagation``.

    The encoder is the input, the blocks on the way down and the one in the middle; the decoder the blocks on the way up
    and the output. Each embeds its own time and labels. A network that predicts ``v`` stays whole: noise and data
    follow from v with the state, which a decoder does not see.
    """

    def encode(self, x: Tensor, t: Tensor, cond: Condition = None) -> Features:
        """Features of states ``(B, C, H, W)`` at times 0-d or ``(B,)``: the skips, then the middle."""
        self._check_states(x)
        net: Any = self.net
        embedded = self._embedded(x, t, cond)
        h = net.conv_in(2 * x - 1.0 if _config(net).get("center_input_sample") else x)
        skips = [h]
        for block in net.down_blocks:
            h, more = block(hidden_states=h, temb=embedded)
            skips += more
        return (*skips, h if net.mid_block is None else net.mid_block(h, embedded))

    def decode(self, features: Features, t: Tensor, cond: Condition = None) -> Tensor:
        """The prediction ``(B, C, H, W)`` from features, at a time 0-d or ``(B,)`` that may be another."""
        net: Any = self.net
        *skips, h = features
        embedded = self._embedded(skips[0], t, cond)
        for block in net.up_blocks:
            count = len(block.resnets)
            h, skips = block(h, tuple(skips[-count:]), embedded), skips[:-count]
        out = net.conv_out(net.conv_act(net.conv_norm_out(h)))
        if _config(net).get("time_embedding_type") == "fourier":
            out = out / self._clocks(out, t).reshape(-1, 1, 1, 1)
        return self._predicted(out, _config(net)["in_channels"])

    def _clocks(self, rows: Tensor, t: Tensor) -> Tensor:
        """The network's time of each row, ``(B,)``."""
        return self._clock(t).reshape(-1).to(rows.device).expand(len(rows))

    def _embedded(self, rows: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """Embedding of time and labels, ``(B, E)``."""
        net: Any = self.net
        told = self._labels(rows, cond)
        found: Tensor = net.time_embedding(net.time_proj(self._clocks(rows, t)).to(rows.dtype))
        if "class_labels" not in told:
            return found
        own = told["class_labels"]
        if _config(net).get("class_embed_type") == "timestep":
            own = net.time_proj(own)
        joined: Tensor = found + net.class_embedding(own).to(rows.dtype)
        return joined


# Parts of a UNet2DModel by which its encoder and its decoder are called.
_PARTS = (
    "conv_in", "time_proj", "time_embedding", "down_blocks", "mid_block", "up_blocks", "conv_norm_out", "conv_act",
    "conv_out",
)  # fmt: skip


def _wrapper(net: nn.Module, prediction: str) -> type[DiffusersNet]:
    """The wrapper of a network: split if its parts are those of a U-Net whose blocks have no second path."""
    own = all(hasattr(net, part) for part in _PARTS)
    if not own or prediction == "v_prediction" or "in_channels" not in _config(net):
        return DiffusersNet
    parts: Any = net
    has_second = any(hasattr(block, "skip_conv") for block in (*parts.down_blocks, *parts.up_blocks))
    return DiffusersNet if has_second else SplitDiffusersNet


def from_diffusers(
    net: Any, scheduler: Any = None, *, prediction: str | None = None, null_label: int | None = None
) -> LearnedFields:
    """Fields of a network of diffusers, for our samplers, likelihoods and guidance; nothing is downloaded.

    ::

        fields = from_diffusers(UNet2DModel.from_pretrained(...), DDPMScheduler.from_pretrained(...))
        fields = from_diffusers("folder/of/a/pipeline")                        # unet or transformer, and scheduler
        y = sample(fields, torch.randn(4, 3, 32, 32), method="ddim", n_steps=50, seed=0).x

    States are as the network was trained on: images in [-1, 1], or latents of an autoencoder times its scaling factor.
    Time is turned round, noise at t = 0 and data at t = 1.

    Args:
        net: A module such as ``UNet2DModel`` or ``DiTTransformer2DModel``, which is put into evaluation mode; or a
            folder of such a network, or of a pipeline, with safetensors (needs diffusers; pickles are not read).
        scheduler: The scheduler of its training, or its folder. It tells noise levels (``alphas_cumprod``) and
            ``prediction_type``. Left out for the folder of a pipeline.
        prediction: ``"epsilon"``, ``"sample"``, ``"v_prediction"``, or ``"flow_prediction"`` for a network trained with
            ``FlowMatchEulerDiscreteScheduler``; the scheduler's own by default.
        null_label: The class that stands for none, for guidance: ``cond`` of -1 becomes it. A DiT's own by default.

    Returns:
        Fields with the path of the scheduler; ``cond`` is labels, ``(B,)``. A ``UNet2DModel`` is split into an encoder
        and a decoder, for ``EncoderPropagation``, unless it predicts v or has blocks with a second path,
        such as ``"SkipDownBlock2D"``.

    Raises:
        InvalidInputError: If network or scheduler is missing or of another kind, or the prediction is unknown.

    Source: Ho, Jain & Abbeel (2020), arXiv:2006.11239; Salimans & Ho (2022), arXiv:2202.00512, for v_prediction.
    """
    if isinstance(net, str | Path):
        net, scheduler = _from_folder(Path(net), scheduler)
    if not isinstance(net, nn.Module):
        remedy = "Pass a UNet2DModel or DiTTransformer2DModel, or the folder of one."
        raise invalid(WHO, "net must be a module", type(net).__name__, remedy)
    if isinstance(scheduler, str | Path):
        scheduler = _scheduler_in(Path(scheduler))
    if scheduler is None:
        remedy = "Pass the one that it was trained with, e.g. DDPMScheduler(): it holds the noise levels."
        raise invalid(WHO, "a network needs its scheduler", "none", remedy)
    kind = _prediction(scheduler, prediction)
    path, steps = _path_of(scheduler, kind)
    config = _config(net)
    null = _own_null(config) if null_label is None else null_label
    made = _wrapper(net, kind)(net, path, kind, steps, null).eval()
    quantities = PREDICTIONS[kind]
    if len(quantities) > 1:
        return LearnedFields(path, joint=made, heads=quantities)
    given: dict[str, Any] = {quantities[0]: made}
    return LearnedFields(path, **given)


def _prediction(scheduler: Any, asked: str | None) -> str:
    config = _config(scheduler)
    is_flow = not hasattr(scheduler, "alphas_cumprod") and "shift" in config
    found = asked or config.get("prediction_type") or ("flow_prediction" if is_flow else None)
    if found is None:
        raise invalid(
            WHO,
            "the scheduler must define what the network predicts",
            "no prediction type",
            "Pass prediction='epsilon'.",
        )
    return one_of(WHO, "prediction", found, PREDICTIONS)


def _path_of(scheduler: Any, kind: str) -> tuple[SpatiallyLinearPath, int]:
    """The path of a scheduler, and the number of its steps."""
    if kind == "flow_prediction":
        return OneSidedLinear(), int(_config(scheduler).get("num_train_timesteps", 1000))
    levels = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(levels, Tensor) or levels.ndim != 1:
        remedy = "For example, DDPMScheduler or PNDMScheduler; for flow matching pass prediction='flow_prediction'."
        raise invalid(WHO, "the scheduler must have alphas_cumprod (K,)", type(scheduler).__name__, remedy)
    path = DiscreteSchedule(tuple(levels.double().tolist()))
    return path, path.n_steps


def _config(thing: Any) -> Mapping[str, Any]:
    found = getattr(thing, "config", None)
    return found if isinstance(found, Mapping) else {}


def _classes(config: Mapping[str, Any]) -> int | None:
    """Number of classes of a network; None without."""
    for name in ("num_class_embeds", "num_embeds_ada_norm"):
        if config.get(name) is not None:
            return int(config[name])
    return None


def _own_null(config: Mapping[str, Any]) -> int | None:
    """The class that stands for none in a DiT: the one after its last."""
    return int(config["num_embeds_ada_norm"]) if config.get("num_embeds_ada_norm") is not None else None


# --- folders


def _from_folder(folder: Path, scheduler: Any) -> tuple[nn.Module, Any]:
    """Network and scheduler of a folder of a pipeline, or of a network alone."""
    if not folder.is_dir():
        remedy = "Nothing is downloaded: fetch the model first, and pass its folder."
        raise invalid(WHO, "the folder must exist", str(folder), remedy)
    inner = next((folder / name for name in ("unet", "transformer") if (folder / name).is_dir()), folder)
    if scheduler is None and (folder / "scheduler").is_dir():
        scheduler = folder / "scheduler"
    return _network_in(inner), scheduler


def _network_in(folder: Path) -> nn.Module:
    config = _settings(folder / "config.json")
    name = one_of(WHO, "the class of the network", str(config.pop("_class_name", "")), _NETWORKS)
    weights = folder / _WEIGHTS
    if not weights.is_file():
        others = sorted(file.name for file in folder.iterdir())[:5]
        remedy = "Only safetensors are read; save_pretrained(folder, safe_serialization=True) writes them."
        raise invalid(WHO, f"{folder} must contain {_WEIGHTS}", ", ".join(others), remedy)
    kind = getattr(require("diffusers", by=WHO), name)
    _check_positions(folder, config)
    with refusing_content(WHO, f"{weights} must be a whole safetensors file"):
        found = safetensors.torch.load_file(weights)
    with refusing_content(WHO, f"{weights} must fit {folder / 'config.json'}"):
        # Settings of some bytes name a network of any size: it is made if its weights are there.
        made = build_checked(lambda: kind.from_config(config), found, sum(x.numel() for x in found.values()))
        made.load_state_dict(found)
    return made


def _check_positions(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a table of positions of any size: DiTs make it from their settings, and it is in no file."""
    names = ("sample_size", "sample_size", "num_attention_heads", "attention_head_dim")
    entries = 1
    for name in names:
        value = config.get(name)
        entries *= value if isinstance(value, int) and value > 0 else 1
    if "num_attention_heads" in config and entries > _MOST_POSITIONS:
        rule = f"{' x '.join(names)} in {folder / 'config.json'} must be at most {_MOST_POSITIONS}"
        raise invalid(WHO, rule, entries)


def _scheduler_in(folder: Path) -> Any:
    config = _settings(folder / "scheduler_config.json")
    diffusers = require("diffusers", by=WHO)
    name = str(config.pop("_class_name", ""))
    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise invalid(WHO, "the scheduler must be one of diffusers", repr(name))
    made: Any = kind
    steps = config.get("num_train_timesteps", 1000)  # each has a noise level in memory
    whole(WHO, f"num_train_timesteps in {folder}", steps, at_least=1, at_most=_MOST_STEPS)
    with refusing_content(WHO, f"{folder} must contain settings of {name}"):
        return made.from_config(config)


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise invalid(WHO, f"{file} must exist", "nothing", "Pass the folder that save_pretrained wrote.")
    found = read_document(file)
    if not isinstance(found, dict):
        raise invalid(WHO, f"{file} must contain settings", json.dumps(found)[:80])
    return dict(found)
