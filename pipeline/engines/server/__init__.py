"""Models of OpenAI-compatible servers: vLLM, llama.cpp, Ollama, or hosted.

engine.py      the engine: what a stage asks, as requests
abilities.py   what a server can do, found out by a few tiny requests
bodies.py      a context as the body of a request
connection.py  one exchange: sending, retrying, reading with bounds
stream.py      server-sent events, and the text that they bring
choosing.py    probabilities of options, from what a server says or from samples
jobs.py        many exchanges at a time, within the limit, until a cancel
keys.py        the key, from the environment only
"""
