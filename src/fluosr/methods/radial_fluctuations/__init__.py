"""SRRF and eSRRF: where the gradients of a frame point to, frame by frame, and how that fluctuates."""
