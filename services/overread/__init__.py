"""Overread, the deployed system. Start reading at `topology.py`: it is the map."""
