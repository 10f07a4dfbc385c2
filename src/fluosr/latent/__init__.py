"""The search of a generator's latent space: a flow on its codes, degradations, the search, baselines, uncertainty."""
