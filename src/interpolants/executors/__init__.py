"""Executors: where independent pieces of work run. Every executor gives the same answers."""

from typing import TYPE_CHECKING

from interpolants.executors.executor import Executor, LostWorkerError
from interpolants.executors.local import Local
from interpolants.executors.ray_cluster import RayCluster
from interpolants.executors.torchrun import Torchrun
from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = ["Executor", "Local", "LostWorkerError", "RayCluster", "Torchrun"]
