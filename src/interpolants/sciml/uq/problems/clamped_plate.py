"""A plate with an inclusion of random place and stiffness under a random load: whole solutions, and a part of interest.

Letters: R cases, m degrees of freedom of the interface.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Positive
from interpolants.sciml.uq.pde.submodel import Submodel

QUANTITIES = ("energy", "deflection", "upward")
_LENGTH, _HEIGHT, _POISSON = 2.0, 1.0, 0.3
_PART, _RADIUS = (0.5, 1.25), 0.2


@dataclass(frozen=True, kw_only=True)
class ClampedPlate(Checked):
    """Plane strain on ``[0, 2] x [0, 1]``, Young's modulus 1, clamped at the left, pulled at the right.

    The traction at the right edge has a random sign, the size ``load exp(0.3 N(0, 1))`` and an angle uniform within
    ``angle`` of the vertical; a disc of radius 0.2 with its centre uniform in ``[1.45, 1.75] x [0.25, 0.75]`` is ten
    times softer or five times stiffer than the plate. The part of interest is ``[0.5, 1.25] x [0, 1]``, in which
    nothing is random; its interface is both of its vertical sides. Quantities are its strain energy, the size of the
    vertical displacement at its centre, and whether that points up (1) or down (0).

    Raises:
        InvalidInputError: If a setting is out of range.
        MissingExtraError: When it is drawn, if scikit-fem is not installed.
    """

    along: Annotated[int, Ge(16)] = 32
    """Elements along x, a multiple of 8."""
    across: Annotated[int, Ge(2)] = 16
    """Elements along y, even."""
    load: Positive = 0.01
    """Typical traction."""
    angle: Positive = 0.8
    """Largest angle in radians."""

    def check_settings(self) -> None:
        """Refuse elements whose nodes are not on the sides of the part."""
        if self.along % 8 or self.across % 2:
            remedy = "The sides of the part, and its centre, must be nodes."
            raise invalid("along must be a multiple of 8 and across even", (self.along, self.across), remedy)

    def __getstate__(self) -> dict[str, Any]:
        """Settings alone: matrices are assembled again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the quantities."""
        return QUANTITIES

    # --- the whole

    @cached_property
    def _parts(self) -> "_Plate":
        return _Plate(self)

    @property
    def submodel(self) -> Submodel:
        """The part of interest, with the mass of a density of 1."""
        return self._parts.submodel

    def inputs(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Random inputs ``(n, 5)``: traction along x and y, centre of the inclusion, factor of its stiffness."""
        u = torch.rand(n, 5, dtype=torch.float64, generator=generator)
        size = self.load * (0.3 * torch.randn(n, dtype=torch.float64, generator=generator)).exp()
        size = torch.where(u[:, 0] < 0.5, -size, size)
        angle = self.angle * (2 * u[:, 1] - 1)
        place = torch.stack([1.45 + 0.3 * u[:, 2], 0.25 + 0.5 * u[:, 3]], 1)
        factor = torch.where(u[:, 4] < 0.5, 0.1, 5.0).double()
        return torch.cat(
            [torch.stack([size * angle.sin(), size * angle.cos()], 1), place, factor[:, None]], 1
        )

    def solutions(self, inputs: Tensor) -> NDArray[np.float64]:
        """Displacements of the whole plate, ``(R, dofs)``, for inputs ``(R, 5)``."""
        return np.stack([self._parts.solved(row) for row in inputs.numpy()])

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Motion of the interface ``(n, m)`` and the quantities ``(n, 3)`` of ``n`` whole plates."""
        whole(type(self).__name__, "n", n, at_least=1)
        found = self.solutions(self.inputs(n, generator=generator))[:, self._parts.of_part]
        motion = torch.as_tensor(found[:, self.submodel.interface])
        return {"interface": motion, "quantities": self._quantities(found)}

    # --- the part

    def quantities(self, interface: Tensor) -> Tensor:
        """Quantities ``(R, 3)`` of the part for motions of its interface ``(R, m)``.

        Raises:
            InvalidInputError: If the motions have another width.
        """
        return self._quantities(self.submodel.solve(interface.double().numpy()))

    def _quantities(self, moved: NDArray[np.float64]) -> Tensor:
        u = np.asarray(moved)
        energy = 0.5 * ((self.submodel.stiffness @ u.T).T * u).sum(1)
        down = u[:, self._parts.centre]
        return torch.as_tensor(np.stack([energy, np.abs(down), (down > 0).astype(float)], 1))


class _Plate:
    """Matrices of the plate, assembled once by scikit-fem."""

    def __init__(self, plate: ClampedPlate) -> None:
        fem, elasticity = (require(name, "ClampedPlate") for name in ("skfem", "skfem.models.elasticity"))
        self.fem, self.form = fem, elasticity.linear_elasticity(*elasticity.lame_parameters(1.0, _POISSON))
        lines = [np.linspace(0, end, k + 1) for end, k in ((_LENGTH, plate.along), (_HEIGHT, plate.across))]
        self.mesh = fem.MeshQuad.init_tensor(*lines)
        self.basis = self._basis(self.mesh)
        parts = self.form.coo_data(self.basis)
        # Element by element, so that each can be scaled by its stiffness.
        self.entries, self.places = parts.data.reshape(-1, self.mesh.nelements), parts.indices
        self.middle = self.mesh.p[:, self.mesh.t].mean(1)
        clamped = self.basis.get_dofs(lambda x: np.isclose(x[0], 0)).flatten()
        self.free = np.setdiff1d(np.arange(self.basis.N), clamped)
        # Loads of a unit traction at the right edge along x and y, (2, dofs).
        edge = self.basis.boundary(self.mesh.facets_satisfying(lambda x: np.isclose(x[0], _LENGTH)))
        self.pull = np.stack([fem.LinearForm(lambda v, w, k=k: v[k]).assemble(edge) for k in range(2)])
        # The part, a submodel of its own.
        inside = (self.middle[0] > _PART[0]) & (self.middle[0] < _PART[1])
        mesh = self.mesh.restrict(np.nonzero(inside)[0])
        basis = self._basis(mesh)
        whole_nodes = {tuple(place): k for k, place in enumerate(np.round(self.mesh.p.T, 9).tolist())}
        nodes = [whole_nodes[tuple(place)] for place in np.round(mesh.p.T, 9).tolist()]
        # Degrees of freedom of the whole, in the order of the part.
        self.of_part = np.empty(basis.N, np.int64)
        self.of_part[basis.nodal_dofs] = self.basis.nodal_dofs[:, nodes]
        sides = basis.get_dofs(lambda x: np.isclose(x[0], _PART[0]) | np.isclose(x[0], _PART[1])).flatten()
        mass = fem.BilinearForm(lambda u, v, w: u[0] * v[0] + u[1] * v[1])
        self.submodel = Submodel(self.form.assemble(basis), np.sort(sides), mass=mass.assemble(basis))
        centre = np.isclose(mesh.p[0], sum(_PART) / 2) & np.isclose(mesh.p[1], _HEIGHT / 2)
        self.centre = int(basis.nodal_dofs[1, np.nonzero(centre)[0][0]])

    def _basis(self, mesh: Any) -> Any:
        return self.fem.Basis(mesh, self.fem.ElementVector(self.fem.ElementQuad1()))

    def solved(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacements for one row of inputs."""
        pull_x, pull_y, x, y, factor = row
        disc = np.hypot(self.middle[0] - x, self.middle[1] - y) < _RADIUS
        data = (self.entries * np.where(disc, factor, 1.0)).ravel()
        sparse = require("scipy.sparse", "ClampedPlate")
        matrix = sparse.coo_matrix((data, self.places), shape=(self.basis.N, self.basis.N)).tocsr()
        solve = require("scipy.sparse.linalg", "ClampedPlate").splu(matrix[self.free][:, self.free].tocsc())
        found = np.zeros(self.basis.N)
        found[self.free] = solve.solve((pull_x * self.pull[0] + pull_y * self.pull[1])[self.free])
        return found
