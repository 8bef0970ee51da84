"""What the one who waits is told."""

import contextlib
import functools
import sys


@functools.cache
def bars():
    """Who draws bars: python3-tqdm, where somebody looks and it is there; else None."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def say(text):
    if bars():
        # Above the bars, not into them.
        bars().write(text)
        sys.stdout.flush()
    else:
        print(text, flush=True)


def progress(steps, what, total=None):
    """The same steps, with a bar."""
    return bars()(steps, desc=what, total=total, leave=False) if bars() else steps


@contextlib.contextmanager
def gauge(what):
    """A function to be told what is being done, how much of it is done and how much there
    is."""
    if not bars():
        yield None
        return
    with bars()(desc=what, leave=False) as bar:
        def show(phase, done, total):
            bar.set_description(f"{what}: {phase}", refresh=False)
            bar.total, bar.n = total or None, done
            bar.refresh()
        yield show
