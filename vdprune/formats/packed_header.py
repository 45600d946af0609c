"""The header of a packed file: JSON, deflated with a dictionary of what such headers say."""

import json
import zlib
from typing import Any


def _node(operation: str, inputs: str, attributes: str, arrays: str) -> str:
    return (
        f'{{"operation":"{operation}","inputs":[{inputs}],"attributes":{{{attributes}}},'
        f'"arrays":{{{arrays}}}}},'
    )


def _weights(name: str, shape: str, rows: str) -> str:
    return f'"W":["{name}/W",[{shape}]],"b":["{name}/b",[{rows}]]'


_CONVOLUTION = '"stride":[1,1],"pad":[{0},{0}],"dilate":[1,1],"groups":1'
_POOLING = '"ksize":[2,2],"stride":[2,2],"pad":[0,0],"cover_all":true'
_NORMALISATION = ",".join(
    f'"{role}":["bn/{role}",[64]]' for role in ("gamma", "beta", "mean", "var")
)
_SCALING = '"mean":["scaling/mean",[1,28,28]],"scale":["scaling/scale",[]]'
_ORIGIN = (
    '"dataset":"mnist","input_shape":[1,28,28],"layers":["{}"],"threshold":3.0,{}'
    '"graph":{{"input_shape":[1,28,28],"nodes":['
)
_KWARGS = '"arch_kwargs":{"input_shape":[1,28,28],"classes":10,"theta_std":null},'

# A part of the format, which therefore never changes: deflate finds what a header has in common with it,
# the sooner the nearer to its end.
_DICTIONARY = "".join(
    (
        '{"arch":"vgg-like","arch_kwargs":{"input_shape":[3,32,32],"classes":10,"width":1.0,',
        '"dataset":"cifar100","dataset":"cifar10","input_shape":[3,32,32],"compact":true,',
        '"more":{"',
        *(
            _node(operation, "1", f'"{attribute}":0.2' if attribute else "", "")
            for operation, attribute in (
                ("leaky_relu", "slope"),
                ("clipped_relu", "z"),
                ("elu", "alpha"),
                ("sigmoid", ""),
                ("tanh", ""),
                ("softmax", ""),
                ("add", ""),
                ("concatenate", ""),
            )
        ),
        _node("average_pooling_2d", "1", '"ksize":[2,2],"stride":[2,2],"pad":[0,0]', ""),
        _node("batch_normalization", "2", '"eps":1e-05', _NORMALISATION),
        _node("convolution_2d", "1", _CONVOLUTION.format(1), _weights("c", "64,64,3,3", "64")),
        _node("linear", "9", "", '"W":["l/W",[512,512]]'),
        '{"arch":"lenet5",',
        _KWARGS,
        _ORIGIN.format('conv1","conv2","l3","l4', ""),
        _node("scaling", "0", "", _SCALING),
        _node("convolution_2d", "1", _CONVOLUTION.format(0), _weights("conv1", "20,1,5,5", "20")),
        _node("max_pooling_2d", "2", _POOLING, ""),
        _node("relu", "3", "", ""),
        _node("convolution_2d", "4", _CONVOLUTION.format(0), _weights("conv2", "50,20,5,5", "50")),
        _node("max_pooling_2d", "5", _POOLING, ""),
        _node("relu", "6", "", ""),
        _node("reshape", "7", '"shape":[800]', ""),
        _node("linear", "8", "", _weights("l3", "500,800", "500")),
        _node("relu", "9", "", ""),
        _node("linear", "10", "", _weights("l4", "10,500", "10")).removesuffix(","),
        '{"arch":"lenet300",',
        _KWARGS,
        _ORIGIN.format('l1","l2","l3', '"dtypes":{"scaling/scale":"f8"},'),
        _node("scaling", "0", "", _SCALING),
        _node("reshape", "1", '"shape":[784]', ""),
        _node("linear", "2", "", _weights("l1", "300,784", "300")),
        _node("relu", "3", "", ""),
        _node("linear", "4", "", _weights("l2", "100,300", "100")),
        _node("relu", "5", "", ""),
        _node("linear", "6", "", _weights("l3", "10,100", "10")).removesuffix(","),
        "]}}",
    )
).encode()

_MOST_BYTES = 2**24  # of a header


def deflate_header(header: dict[str, Any]) -> bytes:
    """Write a header.

    Args:
        header: What JSON can hold.

    Returns:
        Raw deflate, which tells itself where it ends.
    """
    coder = zlib.compressobj(9, wbits=-15, memLevel=9, zdict=_DICTIONARY)
    return coder.compress(json.dumps(header, separators=(",", ":")).encode()) + coder.flush()


def inflate_header(data: bytes) -> tuple[Any, bytes]:
    """Read a header.

    Args:
        data: What begins with it.

    Returns:
        The header, and what follows it.

    Raises:
        ValueError: It is damaged.
    """
    coder = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        text = coder.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"its header can't be inflated: {error}") from error
    if not coder.eof:
        raise ValueError("its header has no end, or is too long")
    return json.loads(text), coder.unused_data
