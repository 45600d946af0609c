"""The test suite on every Python, and on the oldest NumPy, that vdprune is made for."""

import configparser

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the suite on the newest packages."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=["3.10", "3.12"])
def tests_numpy1(session: nox.Session) -> None:
    """Run the suite on NumPy 1.26, without the CuPy of the extra `test`, which needs NumPy 2."""
    config = configparser.ConfigParser()
    config.read("setup.cfg", encoding="utf-8")
    lines = config["options.extras_require"]["test"].split("\n")
    packages = [line for line in lines if line and not line.startswith("cupy-")]
    session.install(".", "numpy==1.26.4", *packages)
    session.run("pytest", *session.posargs)
