"""Brian2: in this process with NumPy, or as a C++ program of its own."""
