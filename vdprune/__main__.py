"""python -m vdprune."""

from vdprune.cli.entry import main

main()
