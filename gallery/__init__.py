"""Examples to look at: a short script each, with one picture. ``python -m gallery`` runs them all.

One of them: ``python -m gallery.moons_to_rings [--quick] [--out DIR]``.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "In the plane": (
        "particles",
        "density",
        "moons_to_rings",
        "drawn_cloud",
        "checkerboard",
        "semidiscrete",
        "growth",
        "flow_map",
        "rectification",
        "spurious_modes",
        "without_training",
        "fewer_steps",
    ),
    "Schrödinger bridges": (
        "schrodinger_bridge",
        "light_sb",
    ),
    "Images": (
        "digits_conditional",
        "stronger_guidance",
        "three_to_eight",
        "restore_digits",
        "any_mask",
        "fashion_in_painting",
        "fashion_super_resolution",
        "linked_digits",
        "moved_lamp",
    ),
    "Science": (
        "butterfly",
        "lorenz_ensemble",
        "logistic_map",
        "heat",
        "epidemic",
        "cells",
        "one_prior_of_heads",
        "differentiation",
        "unseen_days",
        "spectral_base",
        "corrected_fields",
        "functional_prior",
        "generative_closure",
        "long_memory",
        "bridge_of_chaos",
        "changed_rule",
        "two_traps",
    ),
    "Tables, sound, text": (
        "flights",
        "storms",
        "days_in_a_table",
        "chirps",
        "masked_text",
    ),
}
