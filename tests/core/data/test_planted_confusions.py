from __future__ import annotations

import numpy as np

from core.data.planted_confusions import CLASSES_PER_TOPIC, LENGTH, TOPICS, planted_texts


def test_topics_share_no_word() -> None:
    words = [word for topic in TOPICS.values() for word in topic.split()]
    assert len(words) == len(set(words))


def test_texts_are_those_of_their_seed() -> None:
    first, again, other = (planted_texts(50, seed) for seed in (1, 1, 2))
    assert first.texts == again.texts and first.texts != other.texts
    assert first.labels == other.labels and len(first.labels) == CLASSES_PER_TOPIC * len(TOPICS)
    assert all(len(text.split()) == LENGTH for text in first.texts)
    assert planted_texts(0, 1).texts == ()


def test_the_topic_is_easy_and_the_class_is_not() -> None:
    found = planted_texts(2000, 3)
    groups = np.asarray(found.groups)
    counts = np.array([[sum(word in set(topic.split()) for word in text.split()) for topic in TOPICS.values()] for text in found.texts])
    assert (counts.argmax(axis=1) == groups[found.classes]).mean() > 0.98
    assert 0.75 < found.best_accuracy < 0.9
    wrong = found.best != found.classes
    assert (groups[found.best[wrong]] == groups[found.classes[wrong]]).mean() > 0.98, "what is confused is of one topic"
