"""Memory of a process that runs large networks on the CPU."""

import ctypes

# glibc's numbers for mallopt.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, and use it again, instead of giving it back to the system.

    By itself glibc asks the system for every tensor of more than 32 MB anew, and the system hands it over page
    by page, filled with zeros: a third of the time that restoring takes on a CPU (docs/speed.md). For programs,
    not for libraries: it holds for the whole process, which stays as large as it once was.

    Returns:
        Whether it did: systems without glibc manage their memory otherwise.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
