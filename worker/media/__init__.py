"""Media in and out: probe, decode sound and pictures, write stems.

Conventions kept by every module here: sound is float32 (channels, samples) at full scale 1.0;
pictures are uint8 (height, width, 3), RGB; times are seconds from the container's start
(`decoding.container.origin`), the same for sound and picture.

Uploaded bytes are opened in a child process only: `decoding` runs in it, `process` speaks with it.
"""
