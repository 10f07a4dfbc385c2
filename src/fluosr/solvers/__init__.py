"""Solvers: general algorithms that know nothing of microscopes."""
