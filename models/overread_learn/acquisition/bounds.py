"""Which numbers the arithmetic takes: finite ones, no larger than float32 holds.

Networks say float32. In float64 the sums and products over such numbers stay finite, squares and differences included;
of 1e308 already the difference of two logits overflows, and a NaN would rank first.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "fault"]

LARGEST = float(np.finfo(np.float32).max)


def fault(values: NDArray[np.floating]) -> str:
    """Say what is wrong with numbers of any shape and float dtype, as in "a logit is not finite"; empty: nothing is."""
    if not values.size:
        return ""
    # A NaN is its array's least and greatest, and within no bounds. As float, for in float16 the bound is infinite.
    if float(values.min()) >= -LARGEST and float(values.max()) <= LARGEST:
        return ""
    return f"beyond {LARGEST:.3g}, the largest that float32 holds" if np.isfinite(values).all() else "not finite"
