"""The request path: routers frozen into tables, their files, and ONNX graphs."""
