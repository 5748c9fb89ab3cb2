"""Name the packages of the wheel; everything else stands in pyproject.toml.

Installed, pages/ and assets/ lie inside `stillhouse` beside `core` and `workbench`: as top-level folders of site-packages their names
would meet those of others (docs/decisions/0011-wheel-layout.md). No setting of pyproject.toml adds to the packages that are found.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["core", "core.*", "workbench", "workbench.*"]), "stillhouse.assets", "stillhouse.pages"])
