"""The dataset: records into rows that are trained on, validated on and tested on, with nothing shared between them."""
