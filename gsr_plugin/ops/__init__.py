"""The operators of the model, one package each: `reference.py` is plain torch, the other files are backends.

A backend is picked by the device of the tensors; the environment variable `GSR_BACKEND` overrides the choice. An
operator lists its backends in one table in its `__init__.py`; a new one is a new file and a new entry there.
"""
