"""Vectors of documents: scikit-learn's hashing vectorizer over the words and pairs of words that Stage 2 found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

DIMENSIONS = 256
Vector = NDArray[np.float32]

_vectorizer = HashingVectorizer(n_features=DIMENSIONS, ngram_range=(1, 2), stop_words="english", norm="l2")


class EmbeddingError(Exception):
    """The results of Stage 2 cannot be embedded; the message says why, and quotes nothing of them."""


def embed(data: Mapping[str, Any], root: Path) -> Vector:
    """Embed the results that a `document.processed` event names; they must be below `root`.

    Raises:
        EmbeddingError: there are none, they are damaged, or hold no words that mean anything.
    """
    location = data.get("output_location")
    url = location.get("jsonl") if isinstance(location, Mapping) else None
    if not isinstance(url, str):
        raise EmbeddingError("the event names no output_location.jsonl")
    return vector(sentences(local(url, root)))


def local(url: str, root: Path) -> Path:
    """Give the path of a `file:` URL, if it is below `root`: an event is no reason to read just any file."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path)).resolve()
    if parts.scheme != "file" or not path.is_relative_to(root.resolve()):
        raise EmbeddingError("the output is not where results are")
    return path


def sentences(path: Path) -> list[str]:
    """Read the sentences of a file of results."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [str(line["text"]) for line in lines]
    except FileNotFoundError:
        raise EmbeddingError("the output is missing") from None
    except (ValueError, KeyError, TypeError):
        raise EmbeddingError("the output is damaged") from None


def vector(texts: list[str]) -> Vector:
    """Give the mean of the sentences' vectors, of length 1."""
    rows = _vectorizer.transform(texts).toarray() if texts else np.zeros((1, DIMENSIONS))
    mean = rows.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length == 0.0:
        raise EmbeddingError("the output has no words that mean anything")
    return np.asarray(mean / length, dtype=np.float32)
