"""Where samples come from: the embedded digits, 2-D mixtures, TFDS sets and image folders."""
