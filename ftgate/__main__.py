"""`python -m ftgate`, `ftgate` and `python ftgate.pyz` are this."""

from ftgate.cli.group import main

if __name__ == "__main__":
    main()
