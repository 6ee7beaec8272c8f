"""Stands in for a hospital: scanner, PACS, CAD and radiologist, all over the real protocols."""
