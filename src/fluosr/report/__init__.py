"""The report: what came out, how far to trust it, how to repeat it, on one page."""
