"""Snapshots of differentiation, joined.

Five snapshots of a gene network, without the cells' identities between them. One multimarginal model
transports cells from the first snapshot through all others to four fates.
"""

from itertools import pairwise

import torch

from gallery.common import HUES, figure, label, main
from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.generative.multimarginal import Multimarginal

METHOD = "docs/methods/multimarginal.md"
FATES = {"cJun": "monocyte", "EKLF": "erythrocyte", "Fli1": "megakaryocyte", "Gfi1": "neutrophil"}
CENTRES = (30, 56, 82, 110, 140)


def draw(quick: bool) -> object:
    """Four genes against time: cells of the snapshots, and the journeys of the model."""
    data = load("krumsiek11", "all", labels="time")
    snapshots = [data.x[(data.labels - centre).abs() <= 9] for centre in CENTRES]
    draws = torch.Generator().manual_seed(0)
    noisy = [x + 0.02 * torch.randn(x.shape, generator=draws) for x in snapshots]
    model = Multimarginal(
        densities=len(CENTRES),
        coupling="minibatch_ot",
        net={"kind": "mlp", "width": 128, "depth": 3},
        steps=40 if quick else 3000,
        batch_size=64,
    ).fit(*noisy)

    n_steps = 5 if quick else 12
    state, journey = noisy[0][:76], [noisy[0][:76]]
    for k in range(len(CENTRES) - 1):  # from snapshot to snapshot, along the edges of the simplex
        path = sample(model.fields(k, k + 1), state, n_steps=n_steps, return_path=True).path
        state = path[-1]
        journey.extend(path[1:])
    journey = torch.stack(journey)
    spans = [torch.linspace(a, b, n_steps + 1)[1:] for a, b in pairwise(CENTRES)]
    clock = torch.cat([torch.tensor([CENTRES[0]]), *spans])

    genes = [data.info.columns.index(gene) for gene in FATES]
    made = figure(760, 520)
    for axes, gene, name in zip(
        made.subplots(2, 2, sharex=True, sharey=True).flat, genes, FATES.values(), strict=True
    ):
        for x, centre in zip(snapshots, CENTRES, strict=True):
            spot = centre + 5 * torch.rand(len(x), generator=draws) - 2.5
            axes.scatter(spot, x[:, gene], s=4, color="#8a93a0", linewidths=0)
        axes.plot(clock, journey[:, :, gene], color=HUES[0], linewidth=0.5, alpha=0.6)
        label(axes, title=f"{data.info.columns[gene]}, the mark of the {name}", x="time step", y="expression")
        axes.set_ylim(-0.2, 1.15)
        axes.label_outer()
    return made


if __name__ == "__main__":
    main(draw)
