"""The language step: who and what a story names, and who does what to whom. Rules of spaCy, no model to download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import spacy
from spacy.about import __version__ as spacy_version
from spacy.language import Language
from spacy.matcher import Matcher
from spacy.tokens import Doc, Span, Token

MOST_CHARACTERS = 200_000
VERSIONS = {"tokenizer": f"spacy-{spacy_version}", "ner": "rules-1", "event_extraction": "rules-1"}

TITLES = ["captain", "doctor", "dr", "lady", "lord", "mayor", "miss", "mr", "mrs", "ms", "professor", "señora", "uncle"]
PRONOUNS = {"he", "she", "they", "it", "i", "we", "you", "nobody", "somebody", "everyone"}
IRREGULAR = """
    began bought brought built came caught drew fed felt fell found gave got heard held kept knew laid led left lost
    made meant met paid put ran rang read said sang sat saw sent set slept sold spoke stood struck swore taught thought
    told took went wore wrote
"""
# Begin sentences with a capital, and are no names.
NO_NAMES = {"the", "a", "an", "on", "in", "at", "then", "so", "when", "what", "there", "here", "that", "this", "for"}
NO_NAMES |= PRONOUNS | {
    "her",
    "his",
    "their",
    "below",
    "after",
    "before",
    "from",
    "with",
    "every",
    "but",
    "and",
    "shall",
}


class UnprocessableError(Exception):
    """The document cannot be processed, now or later; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and what was found in it."""

    text: str
    entities: list[tuple[str, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    triplets: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in a document."""

    sentences: list[Sentence]

    @property
    def metrics(self) -> dict[str, int]:
        """Counts, by the document's names."""
        return {
            "event_count": sum(len(sentence.actions) for sentence in self.sentences),
            "entity_count": sum(len(sentence.entities) for sentence in self.sentences),
            "soa_triplet_count": sum(len(sentence.triplets) for sentence in self.sentences),
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give one map for each sentence, as results are written."""
        return (asdict(sentence) for sentence in self.sentences)


def analyse(text: str) -> Analysis:
    """Find sentences, names, actions, and triplets of subject, action and object.

    Raises:
        UnprocessableError: the text is empty, too long, or has no words.
    """
    if len(text) > MOST_CHARACTERS:
        raise UnprocessableError(f"it has {len(text)} characters; at most {MOST_CHARACTERS} are read")
    document = _language()(text)
    if not any(token.is_alpha for token in document):
        raise UnprocessableError("it has no words")
    verbs = _verbs(document)
    return Analysis([_sentence(span, verbs) for span in document.sents if span.text.strip()])


@cache
def _language() -> Language:
    language = spacy.blank("en")
    language.add_pipe("sentencizer")
    ruler = language.add_pipe("entity_ruler")
    name = {"IS_TITLE": True, "IS_ALPHA": True, "LOWER": {"NOT_IN": sorted(NO_NAMES)}}
    patterns: list[dict[str, Any]] = [
        {"label": "PERSON", "pattern": [{"LOWER": {"IN": TITLES}}, {"TEXT": ".", "OP": "?"}, {**name, "OP": "+"}]},
        {"label": "NAME", "pattern": [name, {**name, "OP": "+"}]},
        {"label": "NAME", "pattern": [{**name, "IS_SENT_START": False}]},
        {"label": "NUMBER", "pattern": [{"LIKE_NUM": True, "OP": "+"}]},
    ]
    ruler.add_patterns(patterns)  # type: ignore[attr-defined]
    return language


@cache
def _matcher() -> Matcher:
    matcher = Matcher(_language().vocab)
    past: list[list[dict[str, Any]]] = [
        [{"LOWER": {"REGEX": "^[a-z]{2,}ed$"}}],
        [{"LOWER": {"IN": IRREGULAR.split()}}],
    ]
    matcher.add("ACTION", past)
    return matcher


def _verbs(document: Doc) -> set[int]:
    return {start for _, start, _ in _matcher()(document)}


def _sentence(span: Span, verbs: set[int]) -> Sentence:
    actions = [token for token in span if token.i in verbs]
    triplets = [triplet for action in actions if (triplet := _triplet(span, action)) is not None]
    return Sentence(
        text=span.text.strip(),
        entities=[(entity.text, entity.label_) for entity in span.ents],
        actions=[action.lower_ for action in actions],
        triplets=triplets,
    )


def _triplet(span: Span, action: Token) -> tuple[str, str, str] | None:
    """Take the last who before an action and the first whom after it, within the sentence."""
    before = [who for token in span if token.i < action.i and (who := _who(token, span) or _first(token, span, action))]
    after = [who for token in span if token.i > action.i and (who := _what(token, span))]
    return (before[-1], action.lower_, after[0]) if before and after else None


def _who(token: Token, span: Span) -> str | None:
    if token.lower_ in PRONOUNS:
        return token.lower_
    return next((entity.text for entity in span.ents if entity.start == token.i and entity.label_ != "NUMBER"), None)


def _first(token: Token, span: Span, action: Token) -> str | None:
    """Take the first word of a sentence for a name if it does something: every first word has a capital."""
    name = token.i == span.start == action.i - 1 and token.is_title and token.lower_ not in NO_NAMES
    return token.text if name else None


def _what(token: Token, span: Span) -> str | None:
    if token.i > span.start and token.nbor(-1).lower_ in ("the", "a", "an", "her", "his", "their") and token.is_alpha:
        return token.lower_
    return _who(token, span)
