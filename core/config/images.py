"""Images with labels, and the small networks that are trained on them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.config.base import MAX_COUNT, MAX_INTERMEDIATE, MAX_LAYERS, Config

Units = Annotated[int, Field(ge=1, le=MAX_INTERMEDIATE)]  # of a hidden layer


class ImagesSpec(Config):
    """A data set of labelled images, and its three parts: to train on, to choose on, to measure on."""

    source: str = Field("digits", min_length=1, description=(
        "data set; 'digits' (1,797 handwritten digits of 8 x 8 pixels, in scikit-learn), an .npz file, a folder with one "
        "for each class, a .csv file with a column for each pixel, a .parquet file with a column of pictures, or a hub dataset id"))
    subset: str | None = Field(None, description="name; subset of a hub dataset")
    image_column: str | None = Field(None, description="name; column of the pictures, parquet and hub (default: by name)")
    label_column: str | None = Field(None, description="name; column of the label (default: by name)")
    max_train_items: int | None = Field(None, ge=2, le=MAX_COUNT, description=(
        "images; train on this many, the same number of each class as far as it goes (default: all)"))
    max_items: int | None = Field(None, ge=1, le=MAX_COUNT, description="images; measure on this many (default: all)")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description=(
        "fraction (0-1) of the images for training that weights, biases and temperatures are chosen on"))
    test_fraction: float = Field(0.25, gt=0, lt=1, description=(
        "fraction (0-1) of all images that is measured on, where the source has no part of its own for that"))
    omit_classes: tuple[str, ...] = Field((), description="labels; classes that are left out of what the student is trained on")


class MlpSpec(Config):
    """A multilayer perceptron for images: rectified linear units with dropout (1503.02531, section 3)."""

    hidden: tuple[Units, ...] = Field((32,), max_length=MAX_LAYERS, description="units; of each hidden layer ([]: a linear classifier)")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability; dropout of the hidden units in training")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="probability; dropout of the pixels in training")
    jitter: int = Field(0, ge=0, le=64, description="pixels; each training image is moved by up to so many in both directions")
