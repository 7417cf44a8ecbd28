"""The commands of the command line: options in, answers printed.

Each command asks `albo.api` one thing and lets `albo.show` print the answer; nothing is decided
here. The application that they belong to, exit codes and error lines are in `albo.cli`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
