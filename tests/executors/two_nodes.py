"""An experiment on a cluster of two nodes of Ray on this machine, one of which is killed while its cells run."""

import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from framework.toy_experiment import Toy
from interpolants.executors import RayCluster
from interpolants.framework.experiment import conduct

PAUSE = 1.0


def main(folder, cells):
    ran = folder / "ran"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    cluster.wait_for_nodes()

    def kill():
        """When three cells were begun, so that each node is at work on one."""
        while not ran.exists() or len(ran.read_text().split()) < 3:
            time.sleep(0.05)
        time.sleep(PAUSE / 2)
        cluster.remove_node(second, allow_graceful=False)
        while len(alive()) > 1:  # Ray finds out after some seconds
            time.sleep(0.2)

    def alive():
        return [node for node in ray.nodes() if node["Alive"]]

    assert len(alive()) == 2
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        conduct(Toy(str(ran), count=cells, pause=PAUSE), folder / "two", workers=RayCluster(2))
        killer.join()
        (folder / "nodes").write_text(str(len(alive())))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
