"""Fourier transforms and windows."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF, TORCH_TYPES

# --- transforms ------------------------------------------------------------------------------------------


def dft(
    input: Tensor,
    dft_length: int | None = None,
    axis: int = -2,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """The last axis is the real part alone or the real and the imaginary part."""
    axis = axis % input.dim()
    values = as_complex(input)
    if inverse and onesided:
        return torch.fft.irfft(values, dft_length, axis).unsqueeze(-1).to(input.dtype)
    if inverse:
        return as_real(torch.fft.ifft(values, dft_length, axis)).to(input.dtype)
    return spectrum(values, dft_length, axis, onesided=bool(onesided)).to(input.dtype)


def dft_17(
    input: Tensor,
    dft_length: int | None = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    return dft(input, dft_length, axis, inverse=inverse, onesided=onesided)


def as_complex(input: Tensor) -> Tensor:
    wide = input.float() if input.dtype in HALF else input
    return wide[..., 0] if wide.shape[-1] == 1 else torch.complex(wide[..., 0], wide[..., 1])


def as_real(values: Tensor) -> Tensor:
    return torch.stack((values.real, values.imag), -1)


def spectrum(values: Tensor, length: int | None, axis: int, *, onesided: bool) -> Tensor:
    """Real and imaginary parts in a last axis of its own."""
    if not onesided:
        return as_real(torch.fft.fft(values, length, axis))
    if not values.is_complex():
        return as_real(torch.fft.rfft(values, length, axis))
    full = torch.fft.fft(values, length, axis)
    return as_real(full.narrow(axis, 0, full.shape[axis] // 2 + 1))


def stft(
    signal: Tensor,
    frame_step: int,
    window: Tensor | None = None,
    frame_length: int | None = None,
    *,
    onesided: int = 1,
) -> Tensor:
    """Signal (N, length, 1 or 2) -> (N, frames, bins, 2)."""
    length = frame_length or (window.shape[0] if window is not None else signal.shape[1])
    frames = as_complex(signal).unfold(1, length, frame_step)  # (N, frames, length)
    frames = frames if window is None else frames * window.to(frames.real.dtype)
    return spectrum(frames, None, 2, onesided=bool(onesided)).to(signal.dtype)


# --- windows ---------------------------------------------------------------------------------------------


def cosines(size: int, periodic: int, weights: Sequence[float], dtype: int, device: torch.device) -> Tensor:
    """A sum of cosines of whole frequencies, weighted."""
    places = torch.arange(size, dtype=torch.float64, device=device)
    angle = places * (2 * math.pi / max(size if periodic else size - 1, 1))
    terms = [weight * torch.cos(angle * frequency) for frequency, weight in enumerate(weights)]
    return torch.stack(terms).sum(0).to(TORCH_TYPES[dtype])


def hann_window(size: int, *, output_datatype: int = 1, periodic: int = 1, _device: torch.device) -> Tensor:
    return cosines(size, periodic, (0.5, -0.5), output_datatype, _device)


def hamming_window(
    size: int, *, output_datatype: int = 1, periodic: int = 1, _device: torch.device
) -> Tensor:
    return cosines(size, periodic, (25 / 46, -21 / 46), output_datatype, _device)


def blackman_window(
    size: int, *, output_datatype: int = 1, periodic: int = 1, _device: torch.device
) -> Tensor:
    return cosines(size, periodic, (0.42, -0.5, 0.08), output_datatype, _device)


def mel_weight_matrix(
    num_mel_bins: int,
    dft_length: int,
    sample_rate: int,
    lower_edge_hertz: float,
    upper_edge_hertz: float,
    *,
    output_datatype: int = 1,
    _device: torch.device,
) -> Tensor:
    """Triangles over the bins of a spectrum, (dft_length // 2 + 1, num_mel_bins)."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (lower_edge_hertz, upper_edge_hertz))
    step = (high - low) / (num_mel_bins + 2)
    hertz = [700 * (10 ** ((low + step * i) / 2595) - 1) for i in range(num_mel_bins + 2)]
    edges = [int((dft_length + 1) * value // sample_rate) for value in hertz]
    weights = torch.zeros(dft_length // 2 + 1, num_mel_bins, dtype=torch.float64)
    for i in range(num_mel_bins):
        left, centre, right = edges[i : i + 3]
        if left == centre:
            weights[centre, i] = 1
        for j in range(left, centre + 1 if left < centre else left):
            weights[j, i] = (j - left) / (centre - left)
        for j in range(centre, right):
            weights[j, i] = (right - j) / (right - centre)
    return weights.to(device=_device, dtype=TORCH_TYPES[output_datatype])


OPERATORS: dict[str, dict[int, Function]] = {
    "BlackmanWindow": {17: blackman_window},
    "DFT": {17: dft_17, 20: dft},
    "HammingWindow": {17: hamming_window},
    "HannWindow": {17: hann_window},
    "MelWeightMatrix": {17: mel_weight_matrix},
    "STFT": {17: stft},
}
