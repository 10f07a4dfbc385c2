"""Unfolded projected gradient descent: sparse images, molecules and variances by an algorithm that learned its steps."""
