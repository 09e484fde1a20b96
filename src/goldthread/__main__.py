"""`python -m goldthread` is `goldthread`."""

from goldthread.cli import main

main()
