"""A ``libnvidia-ml.so.1`` of our own in the place of the driver's, driven by a scenario file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc")
SOURCE = Path(__file__).parent / "nvml.c"
IDLE = ("value * utilisation 0", "value * memory_used 314572800")
"""Lines that make every GPU one that nobody uses."""


@dataclass(frozen=True)
class Driver:
    """The library's directories and a scenario; every change of it is seen at the next call."""

    libraries: dict[str, Path]
    scenario: Path

    def set(self, *lines: str) -> None:
        """Replace the scenario."""
        # A call that hangs reads it all the time: it must never see half of it.
        partial = self.scenario.with_name(f"{self.scenario.name}.{threading.get_ident()}")
        partial.write_text("".join(f"{line}\n" for line in lines))
        partial.rename(self.scenario)

    def environment(self, library: str = "new", **more: str) -> dict[str, str]:
        """Return the environment of a process that finds this driver."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        place = {"LD_LIBRARY_PATH": str(self.libraries[library])}
        return kept | place | {"FAKE_NVML": str(self.scenario)} | more

    def python(self, code: str, library: str = "new", **more: str) -> str:
        """Run a program on this driver and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment(library, **more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def inits(self) -> int:
        """How often a library was initialised with this scenario."""
        noted = self.scenario.with_name(self.scenario.name + ".inits")
        return len(noted.read_text().splitlines()) if noted.exists() else 0


def compile_libraries(home: Path) -> dict[str, Path]:
    """Compile the library as of a new and of an old driver; skip where that can't be done."""
    if COMPILER is None:
        pytest.skip("no C compiler to make a stand-in for the driver's library with")
    libraries = {"new": home / "new", "old": home / "old", "broken": home / "broken"}
    options = {"new": (), "old": ("-DOLD_DRIVER",)}
    for name, directory in libraries.items():
        directory.mkdir()
        library = directory / "libnvidia-ml.so.1"
        if name == "broken":
            library.write_bytes(b"not a library")
            continue
        flags = ["-Wall", "-Werror", "-shared", "-fPIC", "-O1", *options[name]]
        subprocess.run([COMPILER, *flags, "-o", str(library), str(SOURCE)], check=True)
    return libraries
