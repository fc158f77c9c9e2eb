"""Prints the requirements of the named extras of pyproject.toml, one a line."""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print the package's own dependencies and those of the extras on the command line."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in sys.argv[1:]:
        requirements += project["optional-dependencies"][extra]
    sys.stdout.writelines(f"{requirement}\n" for requirement in dict.fromkeys(requirements))


main()
