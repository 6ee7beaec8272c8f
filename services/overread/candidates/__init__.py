"""The room that knows where to look: from a complete study to suspicious locations, by CAD report or by generator."""
