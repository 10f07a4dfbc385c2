"""StyleGAN2 trained on crops of stained cells: augmentation, losses, training, the trained model."""
