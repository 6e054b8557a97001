"""What a worker sets for its own process: how often Python looks for cycles."""

import gc


def spare_collector() -> None:
    """Let Python's cycle collector look less often, and not at what is there by now.

    A group makes tens of thousands of objects that live for a moment and have no cycles. At its usual thresholds the
    collector takes a tenth of the worker's time to find that out.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
