"""The command line, which calls the public functions and writes what they return."""

from scggml._cli.app import main as main
