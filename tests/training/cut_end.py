"""A network that is cut before its training and stays cut: saved, read in parts by other processes, and sampled.

Each process tells the bytes that it read, the rows that it holds and the most bytes of tensors that were alive.
"""

import gc
import json
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.nets import MLP
from interpolants.paths import OneSidedLinear
from interpolants.training import Checkpoint, TrainSettings, cut_weights, fit, read_cut, without_weights

WIDTH, DEPTH, ROWS = 512, 16, 32
SMALL = 300_000  # bytes; activations of a batch are smaller, and a gathered layer has a million
SETTINGS = {"steps": 4, "batch_size": 16, "ema": 0.9, "checkpoint_every": 0, "log_every": 1}


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return MLP(2, width=WIDTH, depth=DEPTH)


def rows():
    return torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(5))


def batches(step, generator, rank, world):
    """Rows of a batch of 16 that depends on the step alone."""
    source = torch.Generator().manual_seed(100 + step)
    x1, t = torch.randn(16, 2, generator=source) + 2, torch.rand(16, generator=source)
    x0 = torch.randn(16, 2, generator=source)
    own = slice(rank * 16 // world, (rank + 1) * 16 // world)
    return {"x0": x0[own], "x1": x1[own], "t": t[own]}


def loss(modules, batch, generator):
    x_t = torch.lerp(batch["x0"], batch["x1"], batch["t"][:, None])
    return {"velocity": (modules(x_t, batch["t"]) - (batch["x1"] - batch["x0"])).square().sum(1)}


def drawn(net, x):
    return sample(LearnedFields(OneSidedLinear(), velocity=net), x, n_steps=2).x


def alive():
    """Bytes of the tensors of this process that are larger than activations, each storage once."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.layout == torch.strided and not thing.is_meta:
            plain = getattr(thing, "_local_tensor", thing)
            try:
                storage = plain.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
            except (RuntimeError, NotImplementedError):
                continue
    return sum(size for size in storages.values() if size > SMALL)


def bytes_read():
    return int(Path("/proc/self/io").read_text().split()[1])


def watched(net):
    """The largest number of bytes alive when a layer is called."""
    seen = []
    for module in net.modules():
        if isinstance(module, nn.Linear):
            # When FSDP has gathered it; every layer once, since a look at all tensors takes a second.
            module.register_forward_pre_hook(lambda *_: seen.append(alive()) if len(seen) < DEPTH else None)
    return seen


def train(folder, within):
    net = cut_weights(network(), TrainSettings(shard_within=within))
    result = fit(net, loss, batches, TrainSettings(**SETTINGS), out=folder / "run", progress=False)
    held = sum(p.to_local().numel() for p in net.parameters() if hasattr(p, "to_local"))
    return {"curve": [row["loss"] for row in result.history], "held": held}


def read_and_sample(folder, within):
    rank, size = distributed.get_rank(), distributed.get_world_size()
    with without_weights():
        net = MLP(2, width=WIDTH, depth=DEPTH)
    net = cut_weights(net, TrainSettings(shard_within=within))
    place = next((folder / "run" / "checkpoints").glob("step-*"))
    Checkpoint.head(place)  # imports what it needs
    before = bytes_read()
    read_cut(net, place)
    read = bytes_read() - before
    gc.collect()
    begun, seen = alive(), watched(net)
    own = drawn(net, rows().chunk(size)[rank])
    parts = [torch.empty_like(own) for _ in range(size)]
    distributed.all_gather(parts, own)
    return {"read": read, "begun": begun, "alive": max(seen), "samples": torch.cat(parts).tolist()}


def refuse_to_gather():
    from torch.distributed.tensor import DTensor

    def refused(self, **options):
        raise AssertionError("all weights were gathered")

    DTensor.full_tensor = refused


def main(folder, what, within):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    refuse_to_gather()
    work = {"train": train, "sample": read_and_sample}[what]
    told = work(folder, within)
    (folder / f"{what}-{distributed.get_rank()}.json").write_text(json.dumps(told))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
