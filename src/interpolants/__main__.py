"""``python -m interpolants`` is the command line."""

from interpolants.cli.app import main

if __name__ == "__main__":
    main()
