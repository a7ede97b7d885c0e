"""Models as ONNX files, for other runtimes to run: `export`.

The package `onnx` (`pip install onnx`) is needed to export, and for nothing else. Read in this order: `recording` runs
the model and notes its operations, `translations/` says what each is in ONNX, `graph` collects the result, `merge`
compares two such results to find which sizes are free, `export` writes the file.
"""

from .export import export

__all__ = ["export"]
