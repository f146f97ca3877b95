# Written by docs/methods.py from __init__.py and the cards.
from interpolants.executors.executor import Executor as Executor
from interpolants.executors.executor import LostWorkerError as LostWorkerError
from interpolants.executors.local import Local as Local
from interpolants.executors.ray_cluster import RayCluster as RayCluster
from interpolants.executors.torchrun import Torchrun as Torchrun

__all__ = ['Executor', 'Local', 'LostWorkerError', 'RayCluster', 'Torchrun']
