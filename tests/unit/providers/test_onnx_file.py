"""The reader of weights, against the library whose place it takes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicebot.providers.onnx_file import initializers

TYPES = (np.float32, np.uint8, np.int8, np.int32, np.int64)
arrays: st.SearchStrategy[NDArray[Any]] = st.sampled_from(TYPES).flatmap(
    lambda kind: hnp.arrays(
        kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=200)
    )
)


def model(weights: dict[str, NDArray[Any]]) -> bytes:
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [value], tensors, doc_string="é" * 300)
    data: bytes = onnx.helper.make_model(graph).SerializeToString()
    return data


@given(st.dictionaries(st.text(min_size=1, max_size=200), arrays, max_size=4))
def test_it_reads_what_the_library_wrote(weights: dict[str, NDArray[Any]]) -> None:
    found = initializers(model(weights))
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_small_numbers_that_are_not_there_as_bytes_are_left_out() -> None:
    scale = onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, [2], [0.5, 0.25])
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.INT8, [], [3])
    graph = onnx.helper.make_graph([], "g", [], [], [scale, zero])
    found = initializers(onnx.helper.make_model(graph).SerializeToString())
    assert found.keys() == {"scale"}
    np.testing.assert_array_equal(found["scale"], [0.5, 0.25])


@given(st.binary(max_size=200))
def test_anything_else_is_refused_or_empty(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(initializers(data), dict)


def test_a_file_that_is_cut_off_is_refused() -> None:
    data = model({"weights": np.arange(1000, dtype=np.float32)})
    with pytest.raises(ValueError, match="too early"):
        initializers(data[:2000])


def test_a_kind_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="'half' is of type 10"):
        initializers(model({"half": np.zeros(3, np.float16)}))
