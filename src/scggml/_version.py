__version__ = "0.1.0"  # the build, the documentation and the checks of a release read it from here
