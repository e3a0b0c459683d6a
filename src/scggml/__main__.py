"""Run the command line: `python -m scggml`."""

from scggml._cli.app import main

if __name__ == "__main__":
    main()
