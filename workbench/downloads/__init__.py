"""Models to take along: a model folder, or its ONNX export, as one zip file that is made while it is sent."""
