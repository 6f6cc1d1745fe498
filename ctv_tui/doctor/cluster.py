"""The machines of a Ray cluster."""

from __future__ import annotations

from importlib.util import find_spec

from ctv_tui.doctor import Finding

SLOW_CLOCK_S = 1.0


def findings(pool: str, devices: str) -> list[Finding]:
    """Connect to the cluster and look at each of its machines."""
    if find_spec("ray") is None:
        text = "Ray is not installed"
        return [Finding("cluster", "fail", text, "pip install 'ctv-tui[engine,ray]'")]
    from ctv_engine.cluster.checking import Machine, look_at
    from ctv_engine.cluster.messages import ClusterError
    from ctv_engine.runtime.devices import DeviceError
    from ctv_engine.service.opening import cpu_workers

    def finding(machine: Machine) -> Finding:
        node = machine.node
        name = f"{node.host} ({node.address})"
        if node.state != "joined":
            return Finding("cluster", "fail", f"{name}: {node.state}: {node.reason}", SAME)
        gpus = sorted({gpu.name for gpu in machine.gpus})
        text = f"{name}: {node.slots} workers, GPUs: {', '.join(gpus) or 'none that NVML lists'}"
        if node.clock_offset_s is None or abs(node.clock_offset_s) < SLOW_CLOCK_S:
            return Finding("cluster", "ok", text)
        text += f"; its clock is {node.clock_offset_s:+.1f} s off"
        return Finding("cluster", "warn", text, "the engine allows for it; run an NTP client there")

    try:
        machines = look_at(pool.removeprefix("ray").removeprefix(":") or None, cpu_workers(devices))
    except (ClusterError, DeviceError) as error:
        return [Finding("cluster", "fail", str(error), "docs/cluster.md has recipes")]
    return [finding(machine) for machine in machines]


SAME = "mend that and start the engine again, or leave the machine out"
