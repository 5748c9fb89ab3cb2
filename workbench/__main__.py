"""``python -m workbench``: the app without a verb, the command line with one."""

from workbench.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
