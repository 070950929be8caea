"""The Open Inference Protocol over REST, version 2."""
