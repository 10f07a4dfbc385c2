"""What the methods that fit the temporal covariance of the frames share: COL0RME and SPARCOM.

Independent emitters of variance r make frames whose covariance is R = A diag(r) A^T + noise. r is looked for on the
fine grid, not negative and sparse, by least squares over all pairs of camera pixels.
"""
