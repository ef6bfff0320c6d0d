"""What compares two images."""
