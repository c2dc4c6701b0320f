"""What takes a few steps, however much lies about: told by the time of this thread's processor, so that a busy machine
changes nothing, and without the collector of garbage, which looks at all that other tests have left."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def swift(most_s: float) -> Iterator[None]:
    """It fails where its body takes longer."""
    gc.collect()
    gc.disable()
    began = time.thread_time()
    try:
        yield
        took = time.thread_time() - began
    finally:
        gc.enable()
    assert took < most_s, f"it took {took:.3f} s"
