"""A cluster that can't be used is one line, with the way out."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import pytest
from clusters import FakeCluster, beginning_with, machines
from engine_run import EngineRun

from ctv_engine.cluster.connecting import resolve
from ctv_engine.cluster.messages import ClusterError
from ctv_engine.runtime.devices import DeviceError
from ctv_engine.service.opening import cpu_workers
from ctv_engine.settings import Settings, SettingsError


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{}", "no answer (Connection refused); start it with `ray start"),
        ("somewhere", "the address must be HOST:PORT"),
        ("ray://head:10001", "the engine joins the cluster itself"),
        (None, "no Ray cluster runs on this machine"),
    ],
)
def test_an_address_where_nothing_is(
    address: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(ClusterError) as caught:
        resolve(address and address.format(free_port()))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_devices_of_a_cluster() -> None:
    assert [cpu_workers(spec) for spec in ("auto", "cuda", "cpu", "cpu:4")] == [None, None, 1, 4]
    with pytest.raises(DeviceError, match="every GPU that Ray has to give"):
        cpu_workers("cuda:0,1")


@pytest.mark.parametrize("values", [{"pool": "slurm"}, {"files": "nfs"}, {"node_silence_s": 1}])
def test_settings_that_can_not_be(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(values))):
        Settings(db="x.db", suite="s", checkpoint_dir="c", **values)


OTHER_VERSIONS = """
import ray._private.utils
ray._private.utils.compute_version_info = lambda: ("2.0.1", "3.9.9")
"""


@pytest.mark.cluster
def test_no_gpu_no_token_and_other_versions(
    tmp_path: Path, suite: Any, checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "transformers-4.0.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 4.0.0\n")
    nodes = machines("old", gpus=1)
    nodes[0]["env_vars"] = {"PYTHONPATH": str(other.parent)}
    cluster = FakeCluster([], {"node_name": "head", "num_gpus": 0})

    def refusal(devices: str) -> str:
        run = EngineRun(
            Settings(
                db=str(tmp_path / f"{devices}.db"),
                suite=str(suite.directory),
                checkpoints=(str(checkpoints[0]),),
                pool=f"ray:{cluster.address}",
                devices=devices,
                drain=True,
            )
        )
        assert run.finish() == 2
        lines = [line for line in run.output().splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        return lines[0]

    try:
        assert "no GPU on its 1 machines (head); start Ray there with --num-gpus" in refusal("auto")
        cluster.tell(f"more {json.dumps(nodes[0])}")
        text = refusal("auto")
        assert "none of its 1 machines can be used: old: it has transformers 4.0.0" in text
        doctor = ["doctor", "--json", "--pool", f"ray:{cluster.address}"]
        found = subprocess.run(
            [sys.executable, "-m", "ctv_tui", *doctor], capture_output=True, text=True, check=False
        )
        assert found.returncode == 1
        (line,) = (f for f in json.loads(found.stdout)["findings"] if f["check"] == "cluster")
        assert line["level"] == "fail" and "old: it has transformers 4.0.0" in line["text"]
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", beginning_with(OTHER_VERSIONS, tmp_path / "site"))
            patch.setenv("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported
            assert refusal("cpu") == (
                f"error: Ray at {cluster.address}: the head has Ray {version('ray')}, this machine"
                f" 2.0.1 and Python {python_version()}, this machine 3.9.9; install the same"
                " versions on both"
            )
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert "needs a token: copy ~/.ray/auth_token" in refusal("cpu")
    finally:
        cluster.end()
