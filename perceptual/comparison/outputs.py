"""The output folder of a comparison: results, and if asked for heat maps and the page."""


from perceptual.common.files import expanded, is_remote, place
from perceptual.comparison import result_files
from perceptual.errors import UserError


def require_outside(output_dir, folder):
  """Raises `UserError` if an output folder lies in a folder of images, which would gain images."""
  output_dir, folder = place(output_dir), expanded(folder)
  if not is_remote(output_dir) and output_dir.resolve().is_relative_to(folder.resolve()):
    raise UserError(f"The output folder {output_dir} lies inside {folder}, whose images are "
                    "compared; name another.")


def require_maps(metrics):
  """Raises `UserError` unless one of `{label: metric}` may have a map of differences."""
  if not any(metric.has_map for metric in metrics.values()):
    raise UserError(f"--heatmap needs a metric with a map of differences; {', '.join(metrics)} "
                    "has none.")


def write(comparison, metrics, output_dir, *, sources, batch_size=None, heatmap=False, page=False,
          command=None):
  """Writes results.csv, results.json, skipped.csv and, if asked for, heat maps and report.html.

  Args:
    comparison: `run.Comparison`.
    metrics: `{label: metric}`, those of the comparison.
    output_dir: a folder, made if it is not there.
    sources: what the metrics were loaded from, as the user wrote it.
    batch_size: pairs in a call of a metric; None for what suits the images' size.
    heatmap: whether to write a picture of each pair.
    page: whether to write the page.
    command: the command line that asked for it, as text, which the page shows; or None.

  Returns:
    The names of what was written, below the folder.

  Raises:
    UserError: if something cannot be written, or there are no heat maps to write.
  """
  settings = {"metrics": list(sources), "batch_size": batch_size,
              "bit_depth": comparison.pairing.bit_depth}
  written = list(result_files.NAMES)
  result_files.write(comparison, output_dir, settings=settings)
  if not (heatmap or page) or not len(comparison.compared()):
    return written
  from perceptual.comparison import heatmaps, report  # they import Matplotlib, an extra's

  maps = heatmaps.Maps(comparison, metrics, batch_size=batch_size)
  settings["heat_map_scales"] = {label: [0.0, top] for label, top in maps.tops.items()}
  pictures = None
  if heatmap:
    pictures = heatmaps.draw(comparison, maps, output_dir)
    written.append(f"{heatmaps.FOLDER}/")
  if page:
    report.write(comparison, maps, output_dir, settings=settings, command=command)
    written.append(report.FILE)
  result_files.write(comparison, output_dir, settings=settings, heatmaps=pictures)
  return written
