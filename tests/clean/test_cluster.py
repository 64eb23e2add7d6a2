"""The same rows on this machine's processes and on a Ray cluster of two nodes: the same survivors and drops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_stage import clean, outputs, run_folder

from mundap.clean import clusters

RAY = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from mundap import config
from mundap.clean import stage
from mundap.store import Work
if __name__ == "__main__":
    node = {"num_cpus": 1, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    assert sum(node["Alive"] for node in ray.nodes()) == 2
    stage.run(config.parse({"name": "t", "engine": "ray"}, "-"), Work(Path(sys.argv[1])))
    ray.shutdown()
    cluster.shutdown()
"""


def test_two_nodes_do_what_processes_do(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", exc_type=ImportError)
    here, there = run_folder(tmp_path / "here", 5000), run_folder(tmp_path / "there", 5000)
    clean(here)
    script = tmp_path / "cluster.py"
    script.write_text(RAY)
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    done = subprocess.run(
        [sys.executable, str(script), str(there.root)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    manifest = there.manifest("clean")
    assert manifest is not None
    assert manifest.details["engine"] == "ray"
    assert outputs(there) == outputs(here)


def test_components_do_not_depend_on_order() -> None:
    dice = np.random.default_rng(1)
    base = dice.integers(0, 1 << 16, (40, clusters.PERMUTATIONS), np.uint16)
    signatures = base[dice.integers(0, 40, 400)]
    noise = dice.random(signatures.shape) < 0.1
    signatures[noise] = dice.integers(0, 1 << 16, int(noise.sum()), np.uint16)
    order = dice.permutation(400)
    one, other = clusters.labels(signatures, 0.8), clusters.labels(signatures[order], 0.8)
    assert {frozenset(np.flatnonzero(one == label)) for label in one} == {
        frozenset(order[np.flatnonzero(other == label)]) for label in other
    }


def test_fewer_texts_never_join_two_clusters() -> None:
    dice = np.random.default_rng(2)
    base = dice.integers(0, 1 << 16, (5, clusters.PERMUTATIONS), np.uint16)
    signatures = base[dice.integers(0, 5, 200)]
    noise = dice.random(signatures.shape) < 0.11
    signatures[noise] = dice.integers(0, 1 << 16, int(noise.sum()), np.uint16)
    whole, half = clusters.labels(signatures, 0.8), clusters.labels(signatures[::2], 0.8)
    for label in half:
        assert len(set(whole[::2][half == label])) == 1
