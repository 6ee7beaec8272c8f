"""CAD applications: what a candidate looks like and how its network learns, one TOML file each."""

from overread_learn.applications.application import Application
from overread_learn.applications.catalogue import load, names
from overread_learn.applications.normalisation import Background, Normalisation, Range, Window
from overread_learn.applications.phase import PHASES, Phase

__all__ = ["PHASES", "Application", "Background", "Normalisation", "Phase", "Range", "Window", "load", "names"]
