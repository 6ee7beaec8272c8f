"""One pinned decoder for each transfer syntax, and never a second try with another.

Some decoders return half an image without an error where the bitstream is cut off; these here raise. Each checks the
bitstream's own size against Rows and Columns before it allocates, so that a small file can't unfold into gigabytes.
They hang in private `pydicom` decoders: nothing is registered for other users of pydicom in the process.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, cast

import gdcm  # type: ignore[import-untyped]
import jpeg_ls  # type: ignore[import-untyped]
from openjpeg.utils import decode_pixel_data as decode_j2k
from openjpeg.utils import get_parameters
from PIL import Image
from pydicom.pixels.decoders.base import Decoder, DecodeRunner
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from rle.utils import decode_pixel_data as decode_rle

from overread.pacs.jpeg import header

gdcm.Trace.DebugOff()
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()  # it speaks on stderr, past our log; failures are seen in what it returns

_PINNED = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "gdcm_jpeg",
    JPEGLossless: "gdcm_jpeg",
    JPEGLosslessSV1: "gdcm_jpeg",
    JPEGLSLossless: "charls",
    JPEGLSNearLossless: "charls",
    JPEG2000Lossless: "openjpeg_2000",
    JPEG2000: "openjpeg_2000",
    RLELossless: "rle_lossless",
}

DECODER_DEPENDENCIES = {syntax: (plugin,) for syntax, plugin in _PINNED.items()}
"""pydicom's plugin interface asks for this name."""


def is_available(uid: str) -> bool:
    """Answer pydicom's plugin interface: the imports above have succeeded."""
    return uid in _PINNED


def _same_size(runner: DecodeRunner, rows: int, columns: int, samples: int) -> None:
    if (rows, columns, samples) != (runner.rows, runner.columns, runner.samples_per_pixel):
        raise ValueError(
            f"the bitstream is {rows} x {columns} x {samples}, the header says "
            f"{runner.rows} x {runner.columns} x {runner.samples_per_pixel}"
        )


def _contained(runner: DecodeRunner, precision: int) -> None:
    """Tell pydicom how many bits a decoded sample takes: whole bytes that hold the precision."""
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16 if precision <= 16 else 32)


def pillow(src: bytes, runner: DecodeRunner) -> bytes:
    """JPEG baseline (ITU-T T.81 process 1). Colour comes back as the bitstream holds it."""
    sof = header(src)
    _same_size(runner, sof.rows, sof.columns, len(sof.components))
    image = Image.open(BytesIO(src), formats=("JPEG",))
    if runner.samples_per_pixel == 3:
        # Pillow converts by its own guess, pydicom by the header: asking for YCbCr returns the components untouched.
        # Where the bitstream itself says what they are, it wins over the header; nobody subsamples green and blue.
        if not sof.rgb:
            image.draft("YCbCr", image.size)
        if sof.adobe is not None or sof.subsampling != (1, 1):
            runner.set_option("photometric_interpretation", "RGB" if sof.rgb else "YBR_FULL")
    return image.tobytes()


def gdcm_jpeg(src: bytes, runner: DecodeRunner) -> bytes:
    """JPEG extended (8 and 12 bits) and JPEG lossless by GDCM; 12 bits were compared with dcmtk, bit for bit."""
    sof = header(src)
    _same_size(runner, sof.rows, sof.columns, len(sof.components))
    _contained(runner, sof.precision)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(src)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if runner.samples_per_pixel > 1:
        image.SetPlanarConfiguration(runner.planar_configuration)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(runner.transfer_syntax))))
    bits = sof.precision
    image.SetPixelFormat(
        gdcm.PixelFormat(runner.samples_per_pixel, runner.bits_allocated, bits, bits - 1, runner.pixel_representation)
    )
    # Binary data come as text with surrogates: GDCM's wrapper knows no bytes.
    return cast("str", image.GetBuffer()).encode("utf-8", "surrogateescape")


def charls(src: bytes, runner: DecodeRunner) -> bytearray:
    """JPEG-LS (ITU-T T.87)."""
    sof = header(src)
    _same_size(runner, sof.rows, sof.columns, len(sof.components))
    content, info = jpeg_ls.decode_pixel_data(src)
    if info["components"] > 1:
        runner.set_option("planar_configuration", 1 if info["interleave_mode"] == 0 else 0)
    _contained(runner, info["bits_per_sample"])
    return cast("bytearray", content)


def openjpeg_2000(src: bytes, runner: DecodeRunner) -> bytearray:
    """JPEG 2000 (ITU-T T.800 part 1)."""
    about: dict[str, Any] = get_parameters(src)
    _same_size(runner, about["rows"], about["columns"], about["samples_per_pixel"])
    if not src.rstrip(b"\0\xff").endswith(b"\xff\xd9"):  # OpenJPEG fills what is missing and says nothing
        raise ValueError("the JPEG 2000 bitstream is cut off: it has no end of codestream")
    content = decode_j2k(src, version=2)
    if runner.photometric_interpretation in {"YBR_ICT", "YBR_RCT"}:  # undone by the decoder
        runner.set_option("photometric_interpretation", "RGB")
    _contained(runner, about["precision"])
    return cast("bytearray", content)


def rle_lossless(src: bytes, runner: DecodeRunner) -> bytearray:
    """RLE (PS3.5 annex G)."""
    (segments,) = struct.unpack_from("<L", src)
    if segments != runner.samples_per_pixel * runner.bits_allocated // 8:
        raise ValueError(f"{segments} RLE segments for {runner.samples_per_pixel} x {runner.bits_allocated} bits")
    content = decode_rle(src, version=2, rows=runner.rows, columns=runner.columns, bits_allocated=runner.bits_allocated)
    runner.set_option("planar_configuration", 1)
    return cast("bytearray", content)


def _decoder(syntax: UID, plugin: str) -> Decoder:
    decoder = Decoder(syntax)
    decoder.add_plugin(plugin, (__name__, plugin))
    return decoder


DECODERS: dict[str, Decoder] = {str(syntax): _decoder(syntax, plugin) for syntax, plugin in _PINNED.items()}
"""By transfer syntax UID."""
