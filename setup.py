"""Everything about the package is in setup.cfg, but for one requirement: Chainer.

Chainer 7.8.1, its last release, is a source distribution whose own build imports
``pkg_resources``, which today's setuptools no longer has. pip and uv build it with today's
setuptools, so ``chainer==7.8.1`` as a plain requirement fails to install. pyproject.toml gives
*this* build a setuptools that still has ``pkg_resources``; we use it to make Chainer's wheel
in build/ and require that file instead.

The path of the file is then in the metadata of the wheel, so such a wheel is for the machine it
was built on. A release (``VDPRUNE_RELEASE=1 python -m build``) and every source distribution keep the
plain requirement, and so does an environment where Chainer 7.8.1 is installed already.
"""

import configparser
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent


def is_installed(requirement):
    """Whether `requirement` ("name==version") is met here, or in the environment pip builds for."""
    name, version = requirement.split("==")
    places = [*sys.path, sysconfig.get_path("purelib")]
    return any(
        distribution.version == version
        for distribution in importlib.metadata.distributions(name=name, path=places)
    )


def as_built_wheel(requirement):
    """`requirement` as a reference to a wheel of it in build/, built unless it is there."""
    name, version = requirement.split("==")
    wheels = ROOT / "build" / "wheels"
    if not list(wheels.glob(f"{name}-{version}-*.whl")):
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", str(wheels), requirement], check=True)
    (wheel,) = wheels.glob(f"{name}-{version}-*.whl")
    return f"{name} @ {wheel.as_uri()}"


def requirements():
    """setup.cfg's install_requires, Chainer's line as this build needs it."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].split("\n")
    lines = [line for line in lines if line and not line.startswith("#")]
    if os.environ.get("VDPRUNE_RELEASE") == "1" or "sdist" in sys.argv:
        return lines
    return [
        as_built_wheel(line) if line.startswith("chainer==") and not is_installed(line) else line
        for line in lines
    ]


setup(install_requires=requirements())
