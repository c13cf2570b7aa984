"""The whole service under SIGKILL: whatever is killed, whenever, no job is lost and none is done twice."""
