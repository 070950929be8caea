"""Augmentation: distorted copies of the training images, and images of non-digits."""
