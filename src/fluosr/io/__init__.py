"""Readers and writers: the edges of the program."""
