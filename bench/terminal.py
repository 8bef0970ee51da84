"""What the one who waits is told."""

import sys


def say(text):
    print(text, flush=True)


def progress(steps, what, total=None):
    """The same steps, with a bar where somebody looks and python3-tqdm is there."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return steps
        return tqdm(steps, desc=what, total=total, leave=False)
    return steps
