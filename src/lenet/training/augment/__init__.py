"""Augmentation: distorted and spoiled training images, drawn digits and non-digits."""
