"""Stronger guidance without ink beyond black.

Classifier-free guidance of strength 6 leaves the range of the pixels. Projected guidance (APG) keeps the part
across the prediction, limits its length, and stays within the range.
"""

import interpolants as itp
from gallery.common import figure, label, main, show_images
from interpolants.data import load

METHOD = "docs/methods/guidance.md"


def draw(quick: bool) -> object:
    """The same noise under three rules, a row per label."""
    digits = load("digits", dequantise=True)
    net = {"kind": "mlp", "width": 256, "depth": 4, "residual": True}
    bridge = itp.Bridge("one_sided_linear", net=net, drop_condition=0.1, seed=0)
    bridge.fit(x1=digits.x, cond=digits.labels, steps=60 if quick else 3000, batch_size=128, progress=False)

    picture = figure(760, 450)
    labels = [k // 6 for k in range(60)]
    rules = {"no guidance": 1.0, "guidance 6": 6.0, "APG 6": {"kind": "apg", "strength": 6.0, "radius": 2.0}}
    for axes, (name, rule) in zip(picture.subplots(1, 3), rules.items(), strict=True):
        samples = bridge.sample(60, cond=labels, guidance=rule, seed=5, n_steps=8 if quick else 60)
        beyond = float((samples.abs() > 1.1).double().mean())
        show_images(axes, samples, columns=6, gap=2)
        label(axes, title=f"{name}: {beyond:.1%} out of range")
    return picture


if __name__ == "__main__":
    main(draw)
