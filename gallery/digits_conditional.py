"""Digits by label, with a choice of guidance strength.

One network learns all ten digits with and without their label. The strength of guidance is chosen after
training.
"""

import interpolants as itp
from gallery.common import figure, label, main, show_images
from interpolants.data import load

METHOD = "docs/methods/guidance.md"


def draw(quick: bool) -> object:
    """The same noise under three strengths, a row per label."""
    digits = load("digits", dequantise=True)
    net = {"kind": "mlp", "width": 256, "depth": 4, "residual": True}
    bridge = itp.Bridge("one_sided_linear", net=net, drop_condition=0.1, seed=0)
    bridge.fit(x1=digits.x, cond=digits.labels, steps=60 if quick else 3000, batch_size=128, progress=False)

    made = figure(760, 450)
    labels = [k // 6 for k in range(60)]
    strengths = {"no guidance": 1.0, "guidance 2": 2.0, "guidance 4": 4.0}
    for axes, (name, strength) in zip(made.subplots(1, 3), strengths.items(), strict=True):
        drawn = bridge.sample(60, cond=labels, guidance=strength, eps=0.3, seed=5, n_steps=8 if quick else 60)
        show_images(axes, drawn, columns=6, gap=2)
        label(axes, title=name)
    return made


if __name__ == "__main__":
    main(draw)
