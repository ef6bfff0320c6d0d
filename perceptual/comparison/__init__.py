"""Comparing image files: pairs by name or by list, metrics in batches, results that survive a kill.

    found = pairing.folders("references", "candidates")
    comparison = run.compare(run.inspect(found), {"lpips-alex": metric}, output_dir="out")
    print(tables.text(comparison))

A *metric* is here any object with

    metric(reference, candidate)  uint8 `[batch, height, width, 3]` each -> `[batch]`
    metric.lower_is_better        True for a distance, False for a similarity
    metric.fingerprint            plain data that tells it from others; its key `network` is a name

and, where it has them,

    per_tap(reference, candidate)           `{tap: [batch]}`, whose sum is the value
    spatial_map(reference, candidate)       `[batch, height, width]`
    features(images)                        `{tap: [batch, ...]}`, what the network finds in images,
    from_features(features, features)       the value from them,
    trunk_key                               a hashable: metrics of equal ones have equal features
    joined(metrics, per_tap=False)          the values of several of one trunk from features as one
                                            function, to `{label: values}`, with `per_tap` the terms
                                            `{label/tap: values}` too

The last four let an image that stands in many pairs, or that many metrics look at, go through a
network once. A metric raises `UserError` for images it cannot take, for instance too small ones.
`compiled.Compiled` makes such an object of what `perceptual.load_metric` returns; it alone imports
TensorFlow.
"""
