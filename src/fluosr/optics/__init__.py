"""Optics: how light from the fine grid reaches the camera's pixels."""
