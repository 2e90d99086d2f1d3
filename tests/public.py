"""The public names, in full."""

from importlib import import_module

PACKAGES = ("vicinal", "vicinal.distributed", "vicinal.estimators", "vicinal.learn", "vicinal.lm", "vicinal.sql")
PUBLIC = [f"{package}.{name}" for package in PACKAGES for name in import_module(package).__all__]
