"""Sentences that describe a drifting plume: phrasings to learn from, and others to be tested on."""

import math

# Every sentence tells the place, the direction, the speed and the width. Those of the second list are not learnt from:
# their words are known, but not in this order.
PHRASINGS = (
    "A plume starts at x = {x}, y = {y} and drifts {d} at speed {v}; its initial width is {s}.",
    "Released at ({x}, {y}), a cloud of width {s} moves {d} with speed {v}.",
    "The wind blows {d} at {v}. A puff of radius {s} is released at x = {x}, y = {y}.",
    "Smoke of width {s} is carried {d} at speed {v} from the point ({x}, {y}).",
    "Initial spread {s}, centre ({x}, {y}), heading {d}, speed {v}.",
    "With speed {v} a plume travels {d}; it begins at x = {x} and y = {y} with spread {s}.",
    "A {s} wide puff is released {x} from the left and {y} from the bottom. It drifts {d} at {v} per unit of time.",
    "Source at {x} from the left, {y} from the bottom; width {s}; the wind of {v} carries it {d}.",
    "A cloud with radius {s} heads {d} at speed {v}, starting at ({x}, {y}).",
    "From ({x}, {y}) the smoke moves {d}, {v} per unit of time, and is {s} wide at first.",
)
HELD_OUT = (
    "A puff begins at ({x}, {y}) with width {s} and drifts {d}; the wind is {v}.",
    "Heading {d} with speed {v}, smoke of radius {s} is released at x = {x}, y = {y}.",
    "The cloud travels {d} at {v} per unit of time; it starts {x} from the left, {y} from the bottom with spread {s}.",
    "Speed {v}, wind {d}: a plume with initial width {s} is released from the centre x = {x} and y = {y}.",
)
NAMES = tuple(f"phrasing {k + 1}" for k in range(len(PHRASINGS))) + tuple(
    f"held out {k + 1}" for k in range(len(HELD_OUT))
)
_SIDES = ("east", "north", "west", "south")


def compass(angle: float) -> str:
    """One of sixteen directions, for an angle from the x-axis in radians, anticlockwise: 0 is east, pi / 2 north."""
    point = round(angle / (math.pi / 8)) % 16
    side, rest = _SIDES[point // 4 % 4], point % 4
    following = _SIDES[(point // 4 + 1) % 4]
    # The quarters between two sides are named after north or south first, as sailors do.
    first, second = (side, following) if side in ("north", "south") else (following, side)
    between = f"{first}-{second}"
    return (side, f"{side}-{between}", between, f"{following}-{between}")[rest]


def sentence(phrasing: int, plume: list[float]) -> str:
    """A plume ``(x, y, v_x, v_y, s)`` in words; the number of the phrasing counts through both lists."""
    x, y, east, north, width = plume
    words = {
        "x": f"{x:.2f}",
        "y": f"{y:.2f}",
        "d": compass(math.atan2(north, east)),
        "v": f"{math.hypot(east, north):.2f}",
        "s": f"{width:.2f}",
    }
    return (*PHRASINGS, *HELD_OUT)[phrasing].format(**words)
