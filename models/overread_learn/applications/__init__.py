"""CAD applications: what a candidate looks like and how its network learns, one TOML file each."""

from overread_learn.applications.application import Application, load, names
from overread_learn.applications.normalisation import Background, Normalisation, Range, Window

__all__ = ["Application", "Background", "Normalisation", "Range", "Window", "load", "names"]
