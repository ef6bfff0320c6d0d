"""Judged sets: triplets and pairs with answers."""
