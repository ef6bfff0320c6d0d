"""What is agreed between those that write metrics as ONNX files and those that read them."""

SUFFIX = ".onnx"
METADATA = "perceptual"  # the key of the file's metadata under which a metric says what it is
