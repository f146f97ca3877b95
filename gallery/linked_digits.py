"""Digits and labels, each from the other.

One model of both draws images for a label, says of an image what it shows and how sure that is, and draws pairs.
It is not told beforehand which of these it will be asked for.
"""

import torch

from gallery.common import HUES, figure, label, main, show_images
from interpolants.apps.multimodal import MultimodalDiffusion
from interpolants.data import load

METHOD = "docs/methods/multimodal.md"


def draw(quick: bool) -> object:
    """Images for labels, pairs, and chances of labels for test images, the least sure ones last."""
    digits, held = (load("digits", split, dequantise=True) for split in ("train", "test"))
    net = {"kind": "mlp", "width": 256, "depth": 4, "residual": True}
    model = MultimodalDiffusion(
        net=net, whiten=True, steps=30 if quick else 2000, ema=0.995, n_steps=4 if quick else 30
    )
    model.fit(image=digits.x, label=digits.labels, progress=False)

    made = figure(820, 340)
    left, right = made.subfigures(1, 2, width_ratios=(1.5, 1))
    given, together = left.subplots(2, 1, height_ratios=(4, 1))
    show_images(
        given, torch.as_tensor(model.fill(label=list(range(10)) * 4, seed=3)["image"]), columns=10, gap=2
    )
    label(given, title="images drawn for the labels 0 to 9")
    pairs = model.sample(10, seed=3)
    show_images(together, torch.as_tensor(pairs["image"]), columns=10, gap=2)
    label(together, title="pairs drawn together: an image, and its label")
    for k, word in enumerate(pairs["label"]):
        together.text(10 * k + 3.5, 9.5, str(int(word)), ha="center", va="top", fontsize=9, color=HUES[1])

    chances = torch.as_tensor(model.expect(image=held.x)["label"])
    right_share = (chances.argmax(1) == held.labels).double().mean()
    order = torch.special.entr(chances).sum(1).argsort()
    rows = right.subplots(4, 2, width_ratios=(1, 3))
    for (image, bars), k in zip(rows, order[[0, len(order) // 2, -4, -1]].tolist(), strict=True):
        show_images(image, held.x[k, None], columns=1)
        shown = [HUES[0] if j == int(held.labels[k]) else "#c9ced6" for j in range(10)]
        bars.bar(range(10), chances[k].numpy(), color=shown)
        label(bars)
        bars.set(ylim=(0, 1), yticks=[0, 1], xticks=range(10))
    title = f"chances of labels, the true one in blue; {100 * right_share:.0f} % right"
    right.suptitle(title, fontsize=9, x=0.02, ha="left")
    return made


if __name__ == "__main__":
    main(draw)
