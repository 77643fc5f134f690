"""``python -m dsmote`` is the command line."""

from dsmote.cli import main

if __name__ == "__main__":
    main(prog_name="dsmote")
