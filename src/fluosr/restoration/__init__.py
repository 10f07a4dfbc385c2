"""Restoring images with a trained network."""
