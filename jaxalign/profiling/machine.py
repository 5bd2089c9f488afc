"""What must be known of a machine to read a figure that was measured on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Installed version of each package."""
    return {name: _version(name) for name in packages}


def machine(packages: Sequence[str] = ("jaxalign", "jax", "jaxlib", "numpy")) -> dict[str, Any]:
    """Processor, memory, devices of all processes, and versions.

    Args:
      packages: whose versions to state.
    """
    devices = jax.devices()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
        "python": platform.python_version(),
        "versions": versions(packages),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
