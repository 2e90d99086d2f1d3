"""Vectors as byte strings, their distances, and trees over them. Nothing here knows SQL."""
