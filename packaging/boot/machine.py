"""What this machine is, as far as a build depends on it, and whether it has what a build needs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from boot.console import SetupFailed

# Kernels add bookkeeping flags with every release; only these change what a compiler may emit.
ISA_FLAG = re.compile(
    r"^(ssse?\d?|sse4_[12]|sse4a|avx\w*|amx\w*|fma\d?|f16c|bmi\d|popcnt|lzcnt|abm|movbe|adx|aes|vaes|sha\w*|gfni|"
    r"vpclmulqdq|pclmulqdq|rdrnd|rdseed|fsgsbase|xop|tbm)$"
)
DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")
CUDA_BIN = "/usr/local/cuda/bin"
PROBE = "#include <vector>\n#include <string>\nint main() { return static_cast<int>(std::vector<int>(1)[0]); }\n"


def cpu_identity() -> str:
    """The instruction sets and model of this CPU: a build tuned for it may not run on another."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor()
    fields = dict(re.findall(r"(?m)^(model name|flags|Features|CPU part|CPU implementer)\s*:\s*(.*)$", text))
    flags = fields.pop("flags", "").split()
    named = [f"{name} {value}" for name, value in sorted(fields.items())]
    return "; ".join([*named, " ".join(sorted(filter(ISA_FLAG.match, flags)))])


def platform_identity() -> str:
    return f"{sysconfig.get_platform()} {'-'.join(platform.libc_ver())}".strip()


def too_old_for_mlx() -> bool:
    """Whether this is a Mac before macOS 14, for which MLX has no builds; no marker of a lock can say so."""
    version = platform.mac_ver()[0]
    return sys.platform == "darwin" and version != "" and int(version.partition(".")[0]) < 14


def cuda_gpu() -> str:
    """Name of the NVIDIA GPU to build for, or "": a compiler alone is not enough, the driver must answer too."""
    if not nvcc():
        return ""
    listed = _output("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")
    if listed and "no devices" not in listed.lower():
        return listed.splitlines()[0]
    return "nvidia" if DRIVER_GPUS.is_dir() and any(DRIVER_GPUS.iterdir()) else ""


def nvcc() -> str | None:
    named = os.environ.get("CUDACXX")
    return named or shutil.which("nvcc") or shutil.which("nvcc", path=CUDA_BIN)


def require_compiler() -> None:
    """Compile and link a small C++ program. Raises SetupFailed with the remedy of this platform."""
    compiler = os.environ.get("CXX", "").split() or [_first("c++", "g++", "clang++")]
    c_compiler = os.environ.get("CC", "").split() or [_first("cc", "gcc", "clang")]
    if not compiler[0] or not c_compiler[0]:
        raise SetupFailed("no C and C++ compiler was found", hint=compiler_hint())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(PROBE, "utf-8")
        probe = [*compiler, "-std=c++17", str(source), "-o", str(source.with_suffix(""))]
        try:
            result = subprocess.run(probe, capture_output=True, text=True, check=False)
        except OSError as error:
            raise SetupFailed(f"{compiler[0]} cannot be run: {error.strerror}", hint=compiler_hint()) from error
    if result.returncode:
        raise SetupFailed(f"{compiler[0]} cannot build a small C++17 program", hint=compiler_hint())


def compiler_hint() -> str:
    if sys.platform == "darwin":
        return "install one with: xcode-select --install"
    installers = {
        "apt-get": "sudo apt-get install build-essential",
        "dnf": "sudo dnf install gcc-c++ make",
        "pacman": "sudo pacman -S base-devel",
        "zypper": "sudo zypper install gcc-c++ make",
        "apk": "sudo apk add build-base linux-headers",
    }
    found = next((line for tool, line in installers.items() if shutil.which(tool)), "")
    return f"install one with: {found}" if found else "install GCC 9, Clang 10 or newer"


def require_space(needs: dict[Path, float]) -> None:
    """`needs` maps folders to gigabytes; folders of one file system add up. Raises SetupFailed."""
    by_device: dict[int, tuple[Path, float]] = {}
    for folder, gigabytes in needs.items():
        there = next(p for p in (folder, *folder.parents) if p.exists())
        device = there.stat().st_dev
        by_device[device] = (there, by_device.get(device, (there, 0.0))[1] + gigabytes)
    for there, gigabytes in by_device.values():
        free = shutil.disk_usage(there).free / 1e9
        if free < gigabytes:
            raise SetupFailed(
                f"about {gigabytes:.1f} GB are needed below {there}, and {free:.1f} GB are free",
                hint="free some space, or put models and builds elsewhere with SECONDME_HOME=/other/disk",
            )


def build_jobs() -> int:
    """One job per usable core, as far as memory goes: a compiler here takes up to 1 GB."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        gigabytes = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
    except (ValueError, OSError):
        return cores
    return max(1, min(cores, gigabytes))


def _first(*names: str) -> str:
    return next((name for name in names if shutil.which(name)), "")


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
