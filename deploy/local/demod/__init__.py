"""What `make demo` does; `deploy/local/demo.py` is its entry."""
