"""Texts of classes that are confusable by design: a planted set, not language, whose groups and best possible accuracy are known.

Each class belongs to a topic. The topics' words are disjoint, so that the topic of a text is easy to tell; the classes of a topic draw
from the same words and differ in how often they use each:

    theta_c ~ Dirichlet(concentration) over the topic's words,  a text = `LENGTH` words, each from theta_c or, with `NOISE`, from any topic

So all words of a text count for which class of its topic wrote it, and some texts nobody can place: `best_accuracy` is that
of the classifier that knows every theta (Bayes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TOPICS: Mapping[str, str] = {
    "cooking": "pan oven garlic onion butter flour sauce roast simmer whisk pepper basil dough grill soup recipe",
    "sailing": "mast anchor harbour tide rudder hull deck knot rope compass breeze jib keel buoy skipper voyage",
    "gardening": "soil seed spade hedge prune compost lawn bulb weed shed mulch rake bloom herb trellis orchard",
    "astronomy": "comet orbit nebula telescope lens crater eclipse galaxy meteor quasar moon probe spectrum dwarf pulsar dust",
    "banking": "loan deposit branch credit account interest cheque teller mortgage bond cash vault ledger fee transfer debt",
    "cycling": "pedal saddle chain helmet spoke gear brake tyre sprint hill lane pump frame bell valve crank",
    "music": "violin chord tempo drum choir flute opera rhythm tuba melody bass scale harp encore baton score",
    "building": "brick mortar beam crane plaster roof tile girder scaffold cement drill window gutter lintel nail joist",
    "medicine": "nurse fever pulse dose clinic rash scan vaccine bandage ward surgeon cough tablet wound allergy stitch",
    "weather": "storm cloud frost drizzle gale thunder fog hail drought sunshine humid blizzard rainbow mist forecast dew",
}
CLASSES_PER_TOPIC = 4
LENGTH, NOISE = 10, 0.15
CONCENTRATION = 1.5


@dataclass(frozen=True, eq=False)
class PlantedTexts:
    """Texts with the class that wrote them.

    Attributes:
        labels: names of the classes, as "cooking 1".
        groups: topic of each class, by its number.
        texts, classes: N texts, and the class of each.
        best: (N,) the likeliest class of each text under the distributions that wrote it.
    """

    labels: tuple[str, ...]
    groups: tuple[int, ...]
    texts: tuple[str, ...]
    classes: np.ndarray
    best: np.ndarray

    @property
    def best_accuracy(self) -> float:
        """Return how often the likeliest class wrote the text: no classifier does better but by chance."""
        return float((self.best == self.classes).mean())


def planted_texts(count: int, seed: int, *, structure_seed: int = 0) -> PlantedTexts:
    """Draw texts, of all classes alike.

    Args:
        seed: of the texts.
        structure_seed: of the distributions of the classes, which training and held-out texts share.
    """
    words = [topic.split() for topic in TOPICS.values()]
    vocabulary = [word for topic in words for word in topic]
    groups = np.repeat(np.arange(len(words)), CLASSES_PER_TOPIC)
    structure = np.random.default_rng([structure_seed, 1])
    theta = np.full((len(groups), len(vocabulary)), NOISE / len(vocabulary))  # (C, V)
    first = np.cumsum([0, *map(len, words)])
    for number, group in enumerate(groups):
        own = structure.dirichlet(np.full(len(words[group]), CONCENTRATION))
        theta[number, first[group]:first[group + 1]] += (1 - NOISE) * own
    generator = np.random.default_rng([seed, 2])
    classes = generator.integers(0, len(groups), count)
    cumulative = theta.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    drawn = np.empty((count, LENGTH), dtype=np.int64)  # (N, LENGTH) words
    for number in range(len(groups)):
        own = classes == number
        drawn[own] = np.searchsorted(cumulative[number], generator.random((int(own.sum()), LENGTH)))
    likelihood = np.stack([log[drawn].sum(axis=1) for log in np.log(theta)])  # (C, N)
    names = [f"{topic} {number + 1}" for topic in TOPICS for number in range(CLASSES_PER_TOPIC)]
    texts = tuple(" ".join(vocabulary[word] for word in text) for text in drawn)
    return PlantedTexts(tuple(names), tuple(int(group) for group in groups), texts, classes, likelihood.argmax(axis=0))
