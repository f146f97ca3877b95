"""Blood cells of a chosen kind.

A bridge from noise to ten kinds of blood cells, with the kind as condition. A classifier trained on real
cells predicts the kinds of the generated ones.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main
from interpolants.data import load

METHOD = "docs/howto.md"
FAMILIES = {"T": (0, 1, 2, 3, 4), "NK": (8,), "B": (6,), "monocyte": (5,), "dendritic": (9,), "CD34+": (7,)}
SHORT = (
    "T reg",
    "naive T",
    "memory T",
    "cytotoxic T",
    "naive cyt. T",
    "monocyte",
    "B",
    "CD34+",
    "NK",
    "dendritic",
)
DIMS = 12  # principal components that are learnt


def draw(quick: bool) -> object:
    """Real and new cells in two principal components, and what the classifier says."""
    cells, held = load("pbmc68k"), load("pbmc68k", "test")
    bridge = itp.Bridge("one_sided_linear", net={"kind": "mlp", "width": 128, "depth": 4}, seed=0)
    bridge.fit(
        x1=cells.x[:, :DIMS], cond=cells.labels, steps=60 if quick else 1500, batch_size=128, progress=False
    )
    wanted = torch.arange(10).repeat_interleave(8 if quick else 60)
    new = bridge.sample(len(wanted), cond=wanted, eps=0.3, seed=1, n_steps=30)

    made = figure(760, 470)
    axes = made.subplot_mosaic([["real", "table"], ["new", "table"]], width_ratios=(1, 1.5))
    shown = {"real": (cells.x, cells.labels, "560 real cells"), "new": (new, wanted, f"{len(new)} new cells")}
    for place, (x, kinds, title) in shown.items():
        for (family, members), hue in zip(FAMILIES.items(), HUES, strict=True):
            rows = torch.isin(kinds, torch.tensor(members))
            axes[place].scatter(*x[rows, :2].T, s=4, color=hue, linewidths=0, label=family)
        label(axes[place], title=title, x="first component", y="second component")
        axes[place].set(xlim=(-10, 17), ylim=(-10, 11))
    axes["real"].legend(frameon=False, fontsize=7, markerscale=2.5, loc="lower right", handletextpad=0.1)

    said = nearest_kind(new, cells.x[:, :DIMS], cells.labels)
    share = torch.stack(
        [torch.bincount(said[wanted == k], minlength=10) / (wanted == k).sum() for k in range(10)]
    )
    right = (nearest_kind(held.x[:, :DIMS], cells.x[:, :DIMS], cells.labels) == held.labels).float().mean()
    axes["table"].imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    label(
        axes["table"],
        title=f"as asked {100 * share.diag().mean():.0f} %; held-out real cells {100 * right:.0f} %",
        y="rows: asked for; columns: said by the classifier",
    )
    axes["table"].set_xticks(range(10), SHORT, rotation=60, ha="right")
    axes["table"].set_yticks(range(10), SHORT)
    return made


def nearest_kind(x: torch.Tensor, known: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The commonest kind among the seven nearest known cells."""
    near = torch.cdist(x, known).topk(7, largest=False).indices
    return labels[near].mode(dim=1).values


if __name__ == "__main__":
    main(draw)
