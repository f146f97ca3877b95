"""Scripture from masks.

A small transformer learns the King James Bible letter by letter for half a minute: enough for word-like
strings, not yet for words. It generates text by revealing masked letters in sequence, and fills in missing
letters.
"""

from gallery.common import HUES, figure, main
from interpolants.data import load
from interpolants.generative.tokens import TokenBridge

METHOD = "docs/methods/masked_diffusion.md"
GAPS = "and the lord said unto ______ behold i will ____ thee in the ____"


def draw(quick: bool) -> object:
    """A text as it appears, and three ways to fill gaps."""
    bible = load("kjv", length=64)
    net = {"kind": "token_transformer", "positions": False, "width": 64, "depth": 2, "attention_heads": 4}
    model = TokenBridge(net=net, keep_schedule="cosine", seed=0, lr=4e-3)
    model.fit(bible, steps=4 if quick else 400)

    done = model.draw(1, 64, seed=4)
    letters, hit = model.texts(done.x)[0], done.hit_times[0]
    made = figure(760, 470)
    axes = made.add_subplot()
    axes.set(xlim=(-1, 65), ylim=(19.5, -1))
    axes.set_axis_off()
    order, known = hit.argsort().tolist(), 0
    for row, count in enumerate((0, 8, 16, 28, 40, 52, 64)):
        for place, letter in enumerate(letters):
            fresh, shown = place in order[known:count], place in order[:count]
            hue = HUES[1] if fresh else "#1d2430" if shown else "#b4bac4"
            write(axes, place, row * 1.3 + 1, letter if shown else "·", hue)
        known = count
    axes.text(-0.4, -0.4, "a text appears; what is new in a row is orange", fontsize=9)
    axes.text(-0.4, 11.6, "three ways to fill gaps (blue)", fontsize=9)
    for row, text in enumerate([GAPS, *model.complete([GAPS], n=3, seed=1)]):
        for place, letter in enumerate(text):
            write(axes, place, row * 1.6 + 13.2, letter, HUES[0] if GAPS[place] == "_" else "#1d2430")
    return made


def write(axes: object, place: int, height: float, letter: str, hue: str) -> None:
    """One letter of a line of type."""
    axes.text(place, height, letter, family="monospace", fontsize=9, ha="center", color=hue)


if __name__ == "__main__":
    main(draw)
