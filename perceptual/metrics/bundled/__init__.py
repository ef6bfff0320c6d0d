"""The built-in metric: a small network of this project's own, which comes with its weights.

    from perceptual.metrics import bundled
    distance = bundled.metric()(reference, candidate)  # [batch, height, width, 3] each -> [batch]

Nothing is downloaded and nothing else is needed. MODEL_CARD.md, beside the weights, says what it
was trained on, how good it is and where it is not.
"""

from perceptual.metrics.bundled.package import FOLDER, metric, write

__all__ = ["FOLDER", "metric", "write"]
