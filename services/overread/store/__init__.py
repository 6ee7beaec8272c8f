"""Durable state: one database and one blob store, shared by all rooms; each table belongs to one room."""
