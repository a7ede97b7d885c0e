"""Sliding windows: how many there are along an axis (PyTorch's rules, errors that name the sizes), and their taps."""

from collections.abc import Iterator, Sequence

Pair = tuple[int, int]
Rectangle = tuple[slice, slice]


def window_span(kernel: int, dilation: int) -> int:
    """Input elements from the first tap of a window to its last, both included."""
    return dilation * (kernel - 1) + 1


def conv_output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output positions of a convolution along one axis.

    Raises ValueError if an argument is out of range or if the dilated kernel is larger than the padded input.
    """
    _check_window(kernel, stride, padding, dilation)
    span, padded = window_span(kernel, dilation), size + 2 * padding
    if span > padded:
        raise ValueError(
            f"kernel_size {kernel} with dilation {dilation} spans {span} elements, "
            f"more than the input's {size} with padding {padding} on both sides ({padded})"
        )
    return (padded - span) // stride + 1


def pool_output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Output positions of a pooling along one axis.

    ``ceil_mode`` keeps a last window that hangs over the end, provided it starts inside the input or its left
    padding. Raises ValueError if an argument is out of range or if no window fits.
    """
    _check_window(kernel, stride, padding, dilation)
    span = window_span(kernel, dilation)
    if padding > span // 2:
        raise ValueError(
            f"padding must be at most half of the window's span ({span} // 2 = {span // 2}), got {padding}"
        )
    room = size + 2 * padding - span
    output = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (output - 1) * stride >= size + padding:
        output -= 1
    if output < 1:
        raise ValueError(
            f"pooling window of kernel_size {kernel} with dilation {dilation} spans {span} elements, "
            f"more than the input's {size} with padding {padding} on both sides ({size + 2 * padding})"
        )
    return output


def tap_slices(tap: int, size: int, output: int, stride: int, padding: int, dilation: int) -> tuple[slice, slice]:
    """Where tap number ``tap`` of every window lies: (output positions whose tap is inside the input, those inputs)."""
    offset = tap * dilation - padding
    first = max(0, -(offset // stride))
    last = min(output - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def tap_rectangles(
    size: Sequence[int], output: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Iterator[tuple[Pair, Rectangle, Rectangle]]:
    """For each tap in row-major order: (its place, the windows in which it is inside the input, those inputs)."""
    for i in range(kernel[0]):
        rows, source_rows = tap_slices(i, size[0], output[0], stride[0], padding[0], dilation[0])
        for j in range(kernel[1]):
            columns, source_columns = tap_slices(j, size[1], output[1], stride[1], padding[1], dilation[1])
            yield (i, j), (rows, columns), (source_rows, source_columns)


def _check_window(kernel: int, stride: int, padding: int, dilation: int) -> None:
    for name, value, least in (("kernel_size", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}")
