"""Classifiers: items with labels, training on hard labels and soft targets, and measurement.

The way of the data, from a data set to a trained student:

    images.load_images(spec)            a data set of images        -> ClassificationData
    models.new_mlp(spec, data, seed)    a new network for images    -> a Transformers model with ``.logits``
    predicting.predict_logits(model, items)                         -> logits (N, C)
    core.models.mixtures.mixed_logits([logits, ...], ...)          -> soft targets of an ensemble, as logits (N, C)
    training.train_classifier(model, items, soft_targets=...)       -> the model, trained in place
    predicting.measure(logits, targets)                             -> errors, accuracy, cross-entropy

Types:

    Items                inputs by the names of the model's arguments, each (N, ...), and targets (N,)
    ClassificationData   labels, and items to train on, to choose on, and to measure on
    Trained              steps, seconds and the curve of one training

Soft targets are logits v (N, C): their softmax at the temperature of the loss is what the student is compared with. Whatever gives
probabilities p at a temperature T, as a mixture or a combination of specialists, is passed as T log p. So one term
(`core.training.losses`) serves classifiers and language models, whoever the teacher is.

A training takes batches in the order that `orders` gives: one index tensor an epoch (default: a permutation of all items).
"""
