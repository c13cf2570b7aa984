"""Frames: the public face of the pictures of an upload, from a video or from images.

`choice` says which frames and what a frame is, `video` decodes them, `pictures` reads images and zips.
"""

from worker.media.choice import FRAMES_PER_SECOND, MAX_SIDE_PX, MOST_FRAMES, VideoFrame, picked
from worker.media.pictures import picture_frames
from worker.media.video import video_frames

__all__ = [
    "FRAMES_PER_SECOND",
    "MAX_SIDE_PX",
    "MOST_FRAMES",
    "VideoFrame",
    "picked",
    "picture_frames",
    "video_frames",
]
