"""Spaces: the geometry that a bridge needs, for points and velocities in embedding coordinates."""

from abc import ABC, abstractmethod

from torch import Tensor


class Space(ABC):
    """Riemannian manifold whose points are rows ``(..., size)`` of embedding coordinates; abstract.

    Velocities are tangent vectors in the same coordinates. Angles and distances are in radians on curved spaces, and
    in the units of the columns on ``Reals``.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension n of the manifold."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number S of embedding coordinates."""

    @property
    @abstractmethod
    def injectivity_radius(self) -> float:
        """Distance to the cut locus, up to which a geodesic is the shortest one; infinite on ``Reals``."""

    @property
    @abstractmethod
    def rms_distance(self) -> float:
        """Root mean square distance between two independent draws of :meth:`base`.

        On a compact space one of the two may be any point. Distances in different spaces are compared in this unit.
        """

    @property
    def features_size(self) -> int:
        """Number of entries of :meth:`features`."""
        return self.size

    # --- geometry

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Nearest point of the space, ``(..., S)``."""

    @abstractmethod
    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Orthogonal projection of ``v`` to the tangent space at ``x``, ``(..., S)``."""

    @abstractmethod
    def geodesic(self, x: Tensor, v: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Point and velocity at time ``t`` of the geodesic that leaves ``x`` with velocity ``v``.

        Args:
            x: Points ``(..., S)``.
            v: Velocities at ``x``, ``(..., S)``.
            t: Times, a number or a tensor that broadcasts against ``(..., 1)``.
        """

    @abstractmethod
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Velocity of a shortest geodesic from ``x`` at t = 0 to ``y`` at t = 1; 0 where the points are equal.

        At the cut locus there are several, and one of them is returned.
        """

    @abstractmethod
    def norm(self, v: Tensor) -> Tensor:
        """Riemannian length of tangent vectors, ``(..., S) -> (...)``."""

    @abstractmethod
    def carry(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport of ``v`` from ``x`` to ``y`` along the shortest geodesic; not defined at the cut locus."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Point at t = 1 of the geodesic that leaves ``x`` with velocity ``v``."""
        return self.geodesic(x, v, 1.0)[0]

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Length of a shortest geodesic, ``(..., S), (..., S) -> (...)``."""
        return self.norm(self.log(x, y))

    # --- the base distribution and the geodesic path from it

    @abstractmethod
    def base(self, z: Tensor) -> Tensor:
        """Draws of the base from standard normal rows ``(..., S)``: uniform on compact spaces, ``z`` on ``Reals``."""

    @abstractmethod
    def base_log_prob(self, x: Tensor) -> Tensor:
        """Log density of the base per unit of volume, ``(..., S) -> (...)``, in nats."""

    @abstractmethod
    def log_contraction(self, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        """Log of the volume ratio ``|dx0 / dx_t|`` along geodesics to ``x1``, at the point ``x`` at time t.

        Args:
            x: Points ``(..., S)``.
            x1: Ends of the geodesics.
            t: Times in [0, 1), broadcasts against ``(...)``.

        Returns:
            ``(...)``: ``-log(1 - t) + (n - 1) log[s(r / (1 - t)) / s(r)]``, where r is the distance of the points and
            ``s`` is sin on spheres and the identity on ``Reals``. It is ``-inf`` where ``r / (1 - t)`` exceeds the
            injectivity radius: no shortest geodesic to ``x1`` passes there at that time.
        """

    # --- diffusion towards the base

    @property
    @abstractmethod
    def spectral_gap(self) -> float:
        """Rate at which a diffusing distribution approaches the base: its difference falls as ``exp(-gap tau)``."""

    @abstractmethod
    def diffuse(self, x: Tensor, z: Tensor, tau: Tensor) -> Tensor:
        """Points at time ``tau`` of the diffusion that starts at ``x``.

        It is Brownian motion with variance 2 tau per coordinate on compact spaces, ``dX = sqrt(2) dB``, and the
        Ornstein-Uhlenbeck process ``dX = -X dtau + sqrt(2) dB`` on ``Reals``. Both have the base as their limit.

        Args:
            x: Points ``(..., S)``.
            z: Standard normal rows ``(..., S)``.
            tau: Times ``(...)``, at least 0.
        """

    @abstractmethod
    def diffused(self, x: Tensor, x1: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Log density of the diffusion from ``x1`` over that of the base, ``(...)``, and its gradient ``(..., S)``.

        Args:
            x: Points ``(..., S)``.
            x1: Points at time 0.
            tau: Positive times, broadcast against ``(...)``.
        """

    # --- networks

    def features(self, x: Tensor) -> Tensor:
        """Input of a network, ``(..., features_size)``: equal for coordinates of the same point."""
        return x

    def velocity(self, x: Tensor, output: Tensor) -> Tensor:
        """Tangent vector at ``x`` from the output ``(..., features_size)`` of a network."""
        return self.tangent(x, output)
