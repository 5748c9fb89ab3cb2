"""A model in another form, for other engines and devices.

    folder      the ordinary Transformers folder, copied
    onnx        one float32 ONNX file, with tokenizer and configuration
    onnx-int8   the same with int8 weights, about a quarter of the size: what a browser or a phone runs

    exporting.py      a reference -> a folder; checked, whole or not at all
    graph.py          a model -> an ONNX graph
    quantisation.py   float32 -> int8
    agreement.py      whether the file says what the model says, on real text, and how fast
    sessions.py       exported files that answer
"""

from typing import Literal, get_args

Form = Literal["folder", "onnx", "onnx-int8"]
FORMS: tuple[Form, ...] = get_args(Form)
