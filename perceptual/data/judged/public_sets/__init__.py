"""Public judged sets by their own layout, as people download them: one module for each.

Each has a `NAME`, the `PUBLISHED` numbers of judgements and, where known, of references, and
`read(files)`, which returns the judgements of a `source_files.SourceFiles` or refuses what differs
from the layout.
"""

from perceptual.data.judged.public_sets import csiq, kadid10k, live, nights, pieapp, pipal, tid2013

LAYOUTS = {module.NAME: module for module in (
    tid2013, kadid10k, csiq, live, pipal, pieapp, nights)}
