"""Pairs and latent term of a bridge between two sets of vectors, chosen by the data where neither was asked for.

Pairs by optimal transport within a batch make straight trajectories, which a solver follows in two to six evaluations,
if the latent term is small beside the way: its noise is made and taken away again, which bends them. Measured on four
problems in ``studies/few_evaluations``.
"""

import importlib.util
from typing import Any

from interpolants.couplings.minibatch_ot import MinibatchOT
from interpolants.foundations.checks import is_among
from interpolants.foundations.row_access import Rows
from interpolants.methods.bridge.held_out import AUTO, Ends
from interpolants.methods.bridge.settings import BridgeSettings
from interpolants.paths.envelopes import BrownianEnvelope
from interpolants.paths.linear import Linear
from interpolants.paths.path import Path
from interpolants.training.instance_noise import InstanceNoise

# Variance scale of the latent term, in standardised units squared; and rows that are paired at once.
SCALE, BLOCK = 0.1, 256
# Most columns: in more, rows are nearly equally far apart, and a batch has no near ones to pair.
_COLUMNS = 64
# Fewest rows of an end per column: of fewer, the pairs of a batch are learnt by heart.
_ROWS = 200


def pairs_by_data(bridge: BridgeSettings, path: Path, ends: Ends) -> tuple[Path, Any]:
    """The path and the coupling to learn with: those asked for, or chosen by the ends where both are ``"auto"``.

    Args:
        bridge: The bridge that is fitted.
        path: Its path, fitted to the data where it is one that is.
        ends: Rows to learn from.
    """
    asked = bridge.params()
    is_open = all(is_among(asked[name], (AUTO,)) for name in ("path", "coupling", "heads"))
    # Two sets without conditions, in units of their spread, of many rows a column.
    own = bridge.standardize is False or bridge.penalties or bridge.perturb != InstanceNoise(0.0)
    told = ends.x0 is None or ends.cond is not None or ends.cond0 is not None
    suits = is_open and not own and not told and _are_many_vectors(ends.x0) and _are_many_vectors(ends.x1)
    # Sorting pairs numbers; vectors need SciPy's assignment.
    if not suits or (ends.x1.shape[1] != 1 and importlib.util.find_spec("scipy") is None):
        return path, bridge.coupling
    return Linear(envelope=BrownianEnvelope(scale=SCALE)), MinibatchOT(sub_batch=BLOCK)


def _are_many_vectors(x: Rows) -> bool:
    return bool(x.ndim == 2 and x.shape[1] <= _COLUMNS and len(x) >= _ROWS * x.shape[1])
