"""Two stages with a method inside, on ragged rows: codes of fields on meshes, then a model of the codes."""

from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.flow_map.flow_map import FlowMap
from rooms.parts import ToyNet


class LatentFields(Trained):
    """Samples fields at any points.

    Args:
        model: Template of the model of codes: any method with a role x1 that samples.
        codes: Length of a code.
    """

    model: Method = field(default_factory=lambda: FlowMap(path="one_sided_linear"))
    codes: int = 3

    def roles(self) -> tuple[Role, ...]:
        return Role(name="points", kind="ragged"), Role(name="values", kind="ragged")

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        points, values = ([part.float() for part in data[name]] for name in ("points", "values"))
        d, c = points[0].shape[1], values[0].shape[1]
        nets = nn.ModuleDict(
            {"enc": ToyNet(d + c, self.codes, self.seed), "dec": ToyNet(d + self.codes, c, self.seed + 1)}
        )

        def batches(step: int, g: torch.Generator, rank: int, world: int) -> Any:
            pick = torch.randint(len(points), (self.batch_size,), generator=g).tolist()
            p, v = (pad_sequence([x[i] for i in pick], batch_first=True) for x in (points, values))
            lengths = torch.tensor([len(points[i]) for i in pick])
            return {"p": p, "v": v, "inside": (torch.arange(p.shape[1]) < lengths[:, None]).float()}

        def loss(nets: Any, batch: Any, g: Any) -> Any:
            p, v, inside = batch["p"], batch["v"], batch["inside"]
            gap = (_decode(nets["dec"], _encode(nets["enc"], p, v, inside), p) - v).square().mean(-1)
            return {"gap": (gap * inside).sum(1) / inside.sum(1)}

        run.train("autoencoder", nets, loss, batches, self.training(ema=None))
        nets.eval().requires_grad_(False)
        codes = torch.cat([_encode_one(nets["enc"], p, v) for p, v in zip(points, values, strict=True)])
        model = run.fit("codes", self.model, x1=codes)
        return {"enc": nets["enc"], "dec": nets["dec"], "model": model, "meshes": points[:4]}

    @capability(like="values")
    def sample(self, n: int, *, points: list[Tensor] | None = None, seed: int = 0) -> list[Tensor]:
        """A field on each mesh; on four meshes of the training, in turn, if none are given."""
        meshes = self.state["meshes"] if points is None else [p.float() for p in points]
        codes = self.state["model"].sample(n, seed=seed)
        pairs = ((codes[i : i + 1], meshes[i % len(meshes)]) for i in range(n))
        return [_decode(self.state["dec"], code, mesh[None])[0] for code, mesh in pairs]

    @capability(reads={"x": "points"}, like="values")
    def encode(self, x: list[Tensor], values: list[Tensor]) -> Tensor:
        """Codes of fields, ``(B, codes)``."""
        parts = zip(x, values, strict=True)
        return torch.cat([_encode_one(self.state["enc"], p.float(), v.float()) for p, v in parts])


def _encode(net: nn.Module, p: Tensor, v: Tensor, inside: Tensor) -> Tensor:
    h = net(torch.cat([p, v], -1))
    return (h * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)


def _encode_one(net: nn.Module, p: Tensor, v: Tensor) -> Tensor:
    return _encode(net, p[None], v[None], p.new_ones(1, len(p)))


def _decode(net: nn.Module, z: Tensor, p: Tensor) -> Tensor:
    return net(torch.cat([p, z[:, None].expand(-1, p.shape[1], -1)], -1))


def quick() -> tuple[LatentFields, dict[str, Any]]:
    g = generator(0, "toy waves")
    sizes = torch.randint(12, 24, (60,), generator=g).tolist()
    points = [torch.rand(m, 1, generator=g) for m in sizes]
    values = [torch.sin(6 * p + 2 * torch.pi * torch.rand((), generator=g)) for p in points]
    net = {"kind": "mlp", "width": 16, "depth": 2}
    inner = FlowMap(path="one_sided_linear", net=net, steps=16, batch_size=32, checkpoint_every=6)
    method = LatentFields(model=inner, steps=24, batch_size=16, checkpoint_every=10)
    return method, {"points": points, "values": values}
