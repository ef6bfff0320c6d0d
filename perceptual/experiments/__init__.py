"""What gin files describe: networks, data, recipes, scores."""
