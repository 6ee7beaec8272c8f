"""Drills: what may fail is made to fail, on real parts, and a checker from outside says what came of it."""
