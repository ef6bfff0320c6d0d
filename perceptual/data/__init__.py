"""Labelled images and judged triplets: readers, builders and preparers."""
