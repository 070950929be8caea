"""Augmentation: distorted and spoiled copies of the training images, and images of non-digits."""
