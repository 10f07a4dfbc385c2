"""Unfolded projected gradient descent: molecules, sparse images and variances by an algorithm that learned its steps."""
