"""What a worker sets for its own process: how Python looks for cycles, and what becomes of freed memory."""

import ctypes
import gc
from typing import Final

# mallopt(3): malloc.h of glibc. Other C libraries have no such function, or take no notice.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_MMAP_THRESHOLD_BYTES: Final = 32 * 1024 * 1024  # the largest glibc takes, DEFAULT_MMAP_THRESHOLD_MAX
_KEPT_BYTES: Final = 128 * 1024 * 1024  # freed memory at the end of an arena that is not given back


def spare_collector() -> None:
    """Let Python's cycle collector look less often, and not at what is there by now.

    A group makes tens of thousands of objects that live for a moment and have no cycles. At its usual thresholds the
    collector takes a tenth of the worker's time to find that out.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next group.

    The arrays of a group have some megabytes each. glibc takes such from the kernel and gives them back each time, and
    the kernel has to clear every page of them: a fifth of the time that decoding takes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
