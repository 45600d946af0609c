"""What a measurement was made on."""

import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

_PREFIXES = ("OPENBLAS_", "OMP_", "MKL_", "BLIS_", "NUMBA_")


def available_processors() -> int:
    """Count the processors that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Describe the machine.

    Returns:
        Model and number of processors, how many processes have been running on them in the last
        minute, operating system, and what the environment tells the BLAS libraries.
    """
    return {
        "processor": _processor_model(),
        "processors": available_processors(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES)
        },
    }


def describe_blas() -> str:
    """Say which BLAS libraries and kernels this process multiplies matrices with.

    Returns:
        Those that are loaded by now, each with its folder: NumPy and SciPy bring one each, and
        compiled code takes SciPy's.
    """
    from threadpoolctl import threadpool_info

    described = sorted(
        f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'kernel unknown')} "
        f"({Path(pool['filepath']).parent.name})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    return "; ".join(described) or "unknown"


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Look up versions.

    Args:
        packages: Names of installed packages.

    Returns:
        Version by name, Python's among them.
    """
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}


def peak_megabytes() -> float:
    """Return the most memory that this process has had, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def _processor_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
