"""`python -m pixyproxy` is `pixyproxy`."""

from pixyproxy.entrypoints.cli import main

if __name__ == "__main__":
    main(prog_name="pixyproxy")
