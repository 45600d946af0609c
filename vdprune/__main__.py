"""python -m vdprune."""

from vdprune.cli.main import main

main()
