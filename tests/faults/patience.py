"""How much longer than on a machine of its own everything may take: ``FAULTS_PATIENCE``, for the run and its processes.

Within a check of everything two cores carry a dozen processes beside those of a site: what would there be a fault of
ours, a message sent again as its answer took seconds, is the machine's.
"""

import os
from typing import Final

VARIABLE: Final = "FAULTS_PATIENCE"
PATIENCE: Final = float(os.environ.get(VARIABLE, "1"))
